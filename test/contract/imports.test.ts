import assert from 'node:assert/strict'
import { dirname, join, normalize } from 'node:path'
import { describe, test } from 'node:test'
import { importsOf, read, sourcesBelow } from '../support/sources.ts'

const sources = [...sourcesBelow('src'), ...sourcesBelow('openapi')]

/** All of `broker/`, for the folders above it. */
const broker = [
  'src/broker',
  'src/broker/events.ts',
  'src/broker/tokens',
  'src/broker/authorization',
  'src/broker/authentication',
  'src/broker/policy',
  'src/broker/lib',
]
const http = ['src/http/operations', 'src/http/token-endpoints', 'src/http/server', 'src/http/schemas']
const outbound = [
  'src/outbound/entra',
  'src/outbound/issuers',
  'src/outbound/redis',
  'src/outbound/network',
  'src/outbound/files',
]

/**
 * The folders and files that each part of the source may import besides itself. The longest name that fits a path is its
 * part. Every part may import errors.ts and reasons/.
 */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'src/reasons': [],
  'src/errors.ts': [],
  'src/exit.ts': [],
  'src/broker/lib': [],
  'src/broker/policy': ['src/broker/lib'],
  'src/broker/authentication': ['src/broker/policy', 'src/broker/lib'],
  'src/broker/authorization': ['src/broker/authentication', 'src/broker/policy', 'src/broker/lib'],
  'src/broker/events.ts': [
    'src/broker/authorization',
    'src/broker/authentication',
    'src/broker/policy',
    'src/broker/lib',
  ],
  'src/broker/tokens': ['src/broker/events.ts', 'src/broker/authorization', 'src/broker/lib'],
  'src/broker': broker,
  'src/http/schemas': ['src/http/server', 'src/broker/lib'],
  'src/http/server': broker,
  'src/http/token-endpoints': ['src/http/server', 'src/http/schemas', ...broker],
  'src/http/operations': ['src/http/token-endpoints', 'src/http/server', 'src/http/schemas', ...broker],
  'src/outbound/files': broker,
  'src/outbound/network': [],
  'src/outbound/issuers': ['src/outbound/files', 'src/outbound/network', ...broker],
  'src/outbound/entra': ['src/outbound/files', 'src/outbound/network', ...broker],
  'src/outbound/redis': ['src/outbound/files', ...broker],
  'src/telemetry': broker,
  'src/config': ['src/broker/lib'],
  'src/service': ['src/config', 'src/exit.ts', 'src/telemetry', ...http, ...outbound, ...broker],
  'src/doctor': ['src/config', ...outbound, ...broker],
  'src/caller': ['src/config', 'src/exit.ts', ...outbound, ...broker],
  'src/agent': [
    'src/caller',
    'src/service',
    'src/config',
    'src/exit.ts',
    'src/telemetry',
    ...http,
    ...outbound,
    ...broker,
  ],
  'src/commands': [
    'src/agent',
    'src/caller',
    'src/doctor',
    'src/service',
    'src/config',
    'src/exit.ts',
    'src/outbound/files',
    ...broker,
  ],
  'src/cli.ts': ['src/commands', 'src/service', 'src/exit.ts', 'src/broker/lib'],
  // Builds openapi.yaml from the routes; never ships.
  openapi: ['src/service', ...http, ...broker],
}

/** The files of a folder that others may import without the rest of it: entry points need no more. */
const alone: Readonly<Record<string, readonly string[]>> = {
  'src/service/startup-signals.ts': [],
  'src/service/process.ts': ['src/exit.ts', 'src/telemetry'],
  'src/service/package.ts': ['src/broker/lib'],
}

const partOf = (path: string): string =>
  Object.keys(allowed)
    .filter(part => path === part || path.startsWith(`${part}/`))
    .toSorted((a, b) => b.length - a.length)[0] ?? path

describe('imports run in one direction, folder by folder', () => {
  for (const path of sources) {
    test(path, () => {
      const part = partOf(path)
      const may = new Set(alone[path] ?? [part, ...(allowed[part] ?? [])]).union(
        new Set(['src/errors.ts', 'src/reasons']),
      )
      const wrong = importsOf(path).filter(imported => !may.has(partOf(imported)))
      assert.deepEqual(wrong, [], `${part} must not import these`)
    })
  }

  test('every part of the source has a rule, and every rule has a part', () => {
    assert.deepEqual(
      sources.filter(path => !(partOf(path) in allowed)),
      [],
    )
    const parts = new Set(sources.map(partOf))
    assert.deepEqual(
      Object.keys(allowed).filter(part => !parts.has(part)),
      [],
    )
  })

  test('http, outbound and telemetry never import each other', () => {
    const sides = [/^src\/http\//, /^src\/outbound\//, /^src\/telemetry\//]
    for (const [nth, side] of sides.entries()) {
      const others = sides.filter((_, other) => other !== nth)
      const wrong = sources
        .filter(path => side.test(path))
        .flatMap(path => importsOf(path))
        .filter(imported => others.some(other => other.test(imported)))
      assert.deepEqual(wrong, [])
    }
  })

  test('nothing that ships imports openapi/, the emulator or a test', () => {
    assert.deepEqual(
      sourcesBelow('src')
        .flatMap(path => importsOf(path))
        .filter(path => !path.startsWith('src/')),
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
  assert.ok(loaded.has('src/caller/tokens-request.ts'))
})
