import { execFile } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import { startEmulator, type Emulator } from '../emulator/emulator.ts'
import { sample } from '../emulator/options.ts'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundle } from './bundle.ts'
import type { ExchangeCost } from './exchange-client.ts'
import { median, onCore } from './world.ts'

/**
 * `npm run bench:exchange [-- --rounds 5 --exchanges 2000]` measures what a cold exchange costs the broker, isolated: a new
 * process makes exchanges for as many tenants, 20 at once, against the emulator over TLS, with nothing in front of them. Each
 * round is a new process. Prints the CPU time of an exchange (user and system, of the process that makes it) and the
 * resident memory at the end: medians and ranges. Takes about a minute.
 */

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, exchanges: { type: 'string', default: '2000' } },
})
const rounds = Number(values.rounds)
const exchanges = Number(values.exchanges)

const tenants = Array.from({ length: exchanges }, (_, n) => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`)

/** The identity's token, which is the client assertion. */
async function assertionOf(emulator: Emulator): Promise<string> {
  const { IDENTITY_ENDPOINT: endpoint = '', IDENTITY_HEADER: header = '' } = emulator.environment()
  const query = new URLSearchParams({
    'api-version': '2019-08-01',
    resource: 'api://AzureADTokenExchange',
    client_id: sample.identity.clientId,
  })
  const response = await fetch(`${endpoint}?${query.toString()}`, { headers: { 'x-identity-header': header } })
  return ((await response.json()) as { readonly access_token: string }).access_token
}

const folder = await mkdtemp(join(tmpdir(), 'token-broker-exchange-'))
const emulator = await startEmulator({ tenants: tenants.map(id => ({ id })) })
try {
  const client = await bundle('bench/exchange-client.ts', folder)
  const caFile = join(folder, 'ca.pem')
  await writeFile(caFile, emulator.caPem)
  const environment = {
    PATH: process.env['PATH'] ?? '',
    NODE_EXTRA_CA_CERTS: caFile,
    AUTHORITY: emulator.entraUrl,
    ASSERTION: await assertionOf(emulator),
    APPLICATION: sample.application,
    TENANTS: tenants.join(' '),
  }
  const costs: ExchangeCost[] = []
  for (let round = 0; round < rounds; round++) {
    const [command, ...rest] = onCore(0, [process.execPath, client])
    const { stdout } = await promisify(execFile)(command, rest, { env: environment })
    costs.push(JSON.parse(stdout) as ExchangeCost)
  }
  const print = (what: string, unit: string, all: readonly number[], digits: number): void => {
    const [middle, least, most] = [median(all), Math.min(...all), Math.max(...all)].map(each => each.toFixed(digits))
    process.stdout.write(
      `${what}: ${middle} ${unit} (${least} to ${most}, ${rounds} processes of ${exchanges} exchanges)\n`,
    )
  }
  print(
    'CPU time of a cold exchange',
    'ms',
    costs.map(({ cpuMs }) => cpuMs),
    2,
  )
  print(
    'resident afterwards',
    'MB',
    costs.map(({ residentBytes }) => residentBytes / 1e6),
    0,
  )
} finally {
  await emulator.close()
  await rm(folder, { recursive: true, force: true })
}
