import assert from 'node:assert/strict'
import { dirname, join, normalize } from 'node:path'
import { describe, test } from 'node:test'
import { importsOf, read, sourcesBelow } from '../support/sources.ts'

const sources = sourcesBelow('src')

/** Which part of the source each part may import besides itself. Everything may import errors.ts. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'src/errors.ts': [],
  'src/service/startup-signals.ts': [],
  'src/exit.ts': [],
  'src/config/did-you-mean.ts': [],
  'src/config/environment.ts': ['src/config/did-you-mean.ts'],
  'src/broker': [],
  'src/http': ['src/broker'],
  'src/outbound': ['src/broker'],
  'src/telemetry': ['src/broker'],
  'src/config/config.ts': ['src/broker', 'src/config/environment.ts'],
  'src/service/package.ts': ['src/broker'],
  // The three that make real things and plug them together; wire.ts is the first to read.
  'src/service/subscribers.ts': [
    'src/broker',
    'src/outbound',
    'src/telemetry',
    'src/config/config.ts',
    'src/service/package.ts',
  ],
  'src/service/listeners.ts': [
    'src/broker',
    'src/http',
    'src/outbound',
    'src/config/config.ts',
    'src/service/package.ts',
  ],
  'src/service/policy-reload.ts': ['src/broker', 'src/outbound', 'src/config/config.ts'],
  'src/service/wire.ts': [
    'src/broker',
    'src/http',
    'src/outbound',
    'src/telemetry',
    'src/config/config.ts',
    'src/service/subscribers.ts',
    'src/service/listeners.ts',
    'src/service/policy-reload.ts',
  ],
  // The same for an agent, and its entry point.
  'src/agent': [
    'src/broker',
    'src/http',
    'src/outbound',
    'src/telemetry',
    'src/config/environment.ts',
    'src/service/subscribers.ts',
    'src/service/listeners.ts',
    'src/service/wire.ts',
    'src/service/process.ts',
    'src/exit.ts',
  ],
  'src/service/process.ts': ['src/exit.ts', 'src/telemetry'],
  // The entry point reads the settings and makes the sink; all other things are made by wire.ts.
  'src/service/serve.ts': [
    'src/service/subscribers.ts',
    'src/service/process.ts',
    'src/service/policy-reload.ts',
    'src/service/wire.ts',
    'src/exit.ts',
    'src/config/config.ts',
    'src/config/environment.ts',
    'src/outbound',
    'src/telemetry',
    'src/broker',
  ],
  'src/commands': [
    'src/agent',
    'src/service/startup-signals.ts',
    'src/service/serve.ts',
    'src/exit.ts',
    'src/config/environment.ts',
    'src/outbound',
    'src/broker',
  ],
  'src/cli.ts': ['src/service/startup-signals.ts', 'src/commands', 'src/exit.ts', 'src/service/package.ts'],
}

const partOf = (path: string): string =>
  Object.keys(allowed).find(part => path === part || path.startsWith(`${part}/`)) ?? path

describe('imports run one way', () => {
  for (const path of sources) {
    test(path, () => {
      const part = partOf(path)
      const may = new Set(['src/errors.ts', part, ...(allowed[part] ?? [])])
      const wrong = importsOf(path).filter(imported => !may.has(partOf(imported)))
      assert.deepEqual(wrong, [], `${part} must not import these`)
    })
  }

  test('no part of the source is left out of the rule', () => {
    assert.deepEqual(
      sources.filter(path => !(partOf(path) in allowed)),
      [],
    )
  })

  test('nothing that ships imports the emulator or a test', () => {
    assert.deepEqual(
      sources.flatMap(path => importsOf(path)).filter(path => !path.startsWith('src/')),
      [],
    )
  })
})

test('there is no import cycle, types included', () => {
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    assert.ok(!trail.includes(path), `cycle: ${[...trail, path].join(' → ')}`)
    if (done.has(path)) return
    for (const imported of importsOf(path)) visit(imported, [...trail, path])
    done.add(path)
  }
  for (const path of sources) visit(path, [])
  assert.equal(done.size, sources.length)
})

test('an agent loads no Azure SDK: it talks to a broker only', () => {
  const loaded = new Set<string>()
  const load = (path: string): void => {
    if (loaded.has(path)) return
    loaded.add(path)
    const values = read(path).replaceAll(/^(?:import|export) type .*$/gm, '')
    assert.ok(!/from '@azure\//.test(values), path)
    for (const [, specifier = ''] of values.matchAll(/from '(\.[^']+)'/g))
      load(normalize(join(dirname(path), specifier)))
  }
  load('src/agent/main.ts')
  assert.ok(loaded.has('src/agent/parent-broker.ts'))
})
