import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wireAgent, type AgentService } from '../../src/agent/wire.ts'
import type { Json } from '../../emulator/jws.ts'
import {
  type Closing,
  graph,
  type Reply,
  send,
  type SendOptions,
  type TestBroker,
  type World,
} from '../support/broker.ts'
import { settingsOf } from './flags.ts'

export const secret = 'a-secret-of-256-bits-in-base64url-0123456789'

export interface TestAgent {
  readonly service: AgentService
  /** Without a trailing slash. */
  readonly url: string
  readonly tokenFile: string
  /** `GET /identity/token` with the local secret; Graph unless the query says otherwise. */
  readonly identity: (
    query?: Readonly<Record<string, string>>,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Reply>
  /** `POST /tokens` with the local secret; Graph at contoso unless the body says otherwise. */
  readonly requestToken: (body?: Json) => Promise<Reply>
  readonly send: (path: string, options?: SendOptions) => Promise<Reply>
  readonly logText: () => string
}

/** An agent as it ships, beside a workload whose token is a caller's of the emulator, unless it has a certificate. */
export async function startAgent(
  t: Closing,
  { emulator, clock }: World,
  { url: broker }: Pick<TestBroker, 'url'>,
  flags: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<TestAgent> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-agent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const tokenFile = join(folder, 'token')
  await writeFile(tokenFile, await emulator.mintCallerToken({}, { expiresIn: 86_400 }))
  const own = flags.includes('--cert') ? [] : ['--token-file', tokenFile]
  const usual = ['--broker', broker, '--tenant', 'contoso', '--secret-file', 'unused', ...own]
  const written: string[] = []
  const sink = { write: (line: string) => void written.push(line), flush: () => undefined }
  const settings = settingsOf([...usual, ...flags], environment)
  const service = await wireAgent(settings, secret, sink, { clock, random: () => 0.5 })
  t.after(() => service.close())
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  return {
    service,
    url,
    tokenFile,
    identity: (query = {}, headers = { 'x-identity-header': secret }) => {
      const all = new URLSearchParams({
        'api-version': '2019-08-01',
        resource: 'https://graph.microsoft.com',
        ...query,
      })
      return send(`${url}/identity/token?${all.toString()}`, { headers })
    },
    requestToken: (body = {}) =>
      send(`${url}/tokens`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ tenant: 'contoso', scope: graph, ...body }),
      }),
    send: (path, options) => send(url + path, options),
    logText: () => written.join(''),
  }
}
