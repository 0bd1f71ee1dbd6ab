import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { packageRoot } from '../../src/service/package.ts'
import { dashboardText } from './dashboard.ts'
import { rulesText } from './rules.ts'

/**
 * `npm run monitoring` writes the rule file of Prometheus and the dashboard of Grafana. The chart has copies, because Helm reads no file outside of
 * its folder.
 */
const sources = [
  { file: 'dashboards/token-broker.json', copy: 'helm/files/token-broker.dashboard.json', text: dashboardText },
  { file: 'alerts/token-broker.rules.yaml', copy: 'helm/files/token-broker.rules.yaml', text: rulesText },
]

/** The generated files by path, as they must be. */
export async function monitoringFiles(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  for (const { file, copy, text } of sources) {
    const filepath = join(packageRoot, file)
    const formatted = await format(text(), { ...(await resolveConfig(filepath)), filepath })
    files.set(file, formatted)
    files.set(copy, formatted)
  }
  return files
}

if (import.meta.main)
  for (const [file, text] of await monitoringFiles()) {
    const path = join(packageRoot, file)
    await mkdir(dirname(path), { recursive: true })
    if ((await readFile(path, 'utf8').catch(() => '')) !== text) await writeFile(path, text)
  }
