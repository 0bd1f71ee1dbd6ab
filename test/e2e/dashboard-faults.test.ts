import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { colourOf, panels } from '../contract/dashboard-file.ts'
import { graph, startWorld, until } from '../support/broker.ts'
import { startPrometheus, withoutPrometheus } from '../support/prometheus.ts'
import { type FaultName, plantedFaults } from '../web/planted-faults.ts'

/** What the dashboard of Grafana shows of a broker in which one thing is broken, by the queries of its panels in a real Prometheus. */

/** For each fault: a panel that shows it, and whether its value does. */
const shown: Readonly<Record<FaultName, readonly [panel: string, shows: (value: number) => boolean]>> = {
  'the federated credential is wrong': red('Failing upstreams'),
  'a tenant has revoked its consent': ['Error codes now', value => value > 0],
  'Entra is slow': red('Latency of Entra now'),
  'the identity endpoint is unavailable': red('Failing upstreams'),
  'Redis is gone': red('Redis now'),
  'the new policy is refused': red('Policy file'),
  "an issuer's keys are unavailable": red('Failing upstreams'),
  'the TLS certificate ends tomorrow': red('Next expiry'),
  'one caller is at its limit': ['Requests refused by a limit', value => value > 0],
  "the broker's clock is wrong": red("Clock compared with Entra's"),
}

function red(panel: string): readonly [string, (value: number) => boolean] {
  return [panel, value => colourOf(panel, value) === 'red']
}

describe('the dashboard shows', { skip: withoutPrometheus }, async () => {
  if (withoutPrometheus !== false) return
  const world = await startWorld()
  const faults = await plantedFaults(world)
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-targets-'))
  after(() => rm(folder, { recursive: true, force: true }))
  const targets = join(folder, 'targets.json')
  await writeFile(targets, '[]')
  const credentials = await world.emulator.mintCallerToken({ sub: 'dashboard' }, { expiresIn: 86_400 })
  const api = await startPrometheus(
    { after },
    {
      authorization: { credentials },
      tls_config: { insecure_skip_verify: true },
      file_sd_configs: [{ files: [targets], refresh_interval: '1s' }],
    },
  )
  /** The values of a panel, for the broker of one job. */
  const valuesOf = async (panel: string, job: string): Promise<readonly number[]> => {
    const queries = panels.find(({ title }) => title === panel)?.queries ?? []
    assert.ok(queries.length > 0, panel)
    const found = queries.map(async query => {
      const filled = query.replaceAll('$job', job).replaceAll('$instance', '.+').replaceAll('$__rate_interval', '1m')
      const { data } = await api(`query?query=${encodeURIComponent(filled)}`)
      return (data?.result ?? []).map(({ value: [, text] }) => Number(text))
    })
    return (await Promise.all(found)).flat()
  }
  const scrapesOf = async (job: string): Promise<number> => {
    const { data } = await api(
      `query?query=${encodeURIComponent(`count_over_time(token_broker_ready{job="${job}"}[5m])`)}`,
    )
    return Number(data?.result[0]?.value[1] ?? 0)
  }

  for (const [nth, [what, [panel, shows]]] of Object.entries(shown).entries())
    test(`${what}: ${panel}`, async t => {
      const { start, plant } = faults[what as FaultName]
      const broker = await start(t)
      await broker.service.warmUp()
      await broker.requestToken()
      const job = `broker-${nth}`
      const { protocol, host } = new URL(broker.url)
      const labels = { job, __scheme__: protocol.slice(0, -1) }
      await writeFile(`${targets}.new`, JSON.stringify([{ targets: [host], labels }]))
      await rename(`${targets}.new`, targets)
      await until('two scrapes', async () => (await scrapesOf(job)) >= 2)
      const isFromStart = what === 'the TLS certificate ends tomorrow'
      assert.equal((await valuesOf(panel, job)).some(shows), isFromStart)
      await plant(broker)
      await until('the panel shows it', async () => {
        // Rates need a request between two scrapes.
        await broker.requestToken({ tenant: 'fabrikam', scope: graph })
        return (await valuesOf(panel, job)).some(shows)
      })
    })
})
