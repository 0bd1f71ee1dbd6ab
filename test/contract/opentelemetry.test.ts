import assert from 'node:assert/strict'
import { test } from 'node:test'
import { read, sourcesBelow } from '../support/sources.ts'

/** The folders that are loaded only if something is sent. */
const lazy = ['src/telemetry/tracing/', 'src/telemetry/metrics-export/']
const isLazy = (path: string) => lazy.some(folder => path.startsWith(folder))
/** Imports that load a module: not of types alone, and not by `import()`. */
const loads = (path: string) =>
  [...read(path).matchAll(/^(?:import|export) (?!type )[^'()]*'([^']+)'/gm)].map(([, specifier = '']) => specifier)

test('nothing of OpenTelemetry is loaded at the start: only two folders import it, and no other file imports those', () => {
  const sources = sourcesBelow('src')
  assert.ok(sources.filter(isLazy).some(path => loads(path).some(name => name.startsWith('@opentelemetry/'))))
  for (const path of sources.filter(each => !isLazy(each)))
    for (const name of loads(path)) assert.doesNotMatch(name, /^@opentelemetry\/|\/tracing\/|\/metrics-export\//, path)
})
