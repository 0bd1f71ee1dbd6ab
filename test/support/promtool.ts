import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const folders = [join(import.meta.dirname, '../../.tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)]
const path = folders.map(folder => join(folder, 'promtool')).find(file => existsSync(file))

/** The `skip` option of a test: why promtool cannot run here, or `false`. */
export const withoutPromtool = path === undefined && 'promtool is neither in .tools/bin nor in PATH'

/**
 * Runs Prometheus' checker; `said` is its output (https://prometheus.io/docs/prometheus/latest/command-line/promtool/).
 */
export function promtool(
  args: readonly string[],
  input?: string,
): { readonly status: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(path ?? 'promtool', [...args], {
    encoding: 'utf8',
    timeout: 30_000,
    ...(input !== undefined && { input }),
  })
  return { status, said: `${stdout}${stderr}`.trim() }
}
