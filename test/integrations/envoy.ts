import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Closing } from '../support/broker.ts'

const folders = [join(import.meta.dirname, '../../.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)]
const program = folders.map(folder => join(folder, 'envoy')).find(file => existsSync(file))

/** The `skip` option of a test: why Envoy cannot run here, or `false`. */
export const withoutEnvoy: string | false =
  program === undefined && 'envoy is neither in .tools/bin (scripts/tools.sh) nor in PATH'

/**
 * Starts Envoy with a configuration, and ends it at the end.
 *
 * @returns what it has written so far; throws if it has ended
 */
export function startEnvoy(t: Closing, file: string): () => string {
  const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning']
  const child = spawn(program ?? 'envoy', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = Promise.withResolvers<void>()
  child.once('close', () => ended.resolve()).once('error', error => (said += String(error)))
  t.after(() => {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    return ended.promise.finally(() => clearTimeout(timer))
  })
  return () => {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`Envoy ended: ${said}`)
    return said
  }
}
