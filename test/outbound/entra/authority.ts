import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createAuthority } from '../../../emulator/certificates.ts'
import { readBody } from '../../../emulator/http.ts'
import { type Closing, trust } from '../../support/broker.ts'

/** A request to a hostile authority. */
export interface Received {
  readonly method: string
  readonly path: string
  /** The body as it came, assertion included. */
  readonly body: string
}

export interface Said {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

export interface HostileAuthority {
  /** An https origin. */
  readonly url: string
  readonly received: readonly Received[]
}

/** The response to a request; with `undefined`, 404. */
export type Respond = (request: Received) => Said | undefined

/** An authority that responds as a test decides, with the received assertion at hand. The emulator never does that. */
export async function hostileAuthority(t: Closing, respond: Respond): Promise<HostileAuthority> {
  const ca = createAuthority('hostile authority')
  const { certPem, keyPem } = ca.issue()
  trust(ca.caPem)
  const received: Received[] = []
  const server = createServer({ cert: certPem, key: keyPem })
  server.on('request', (request, response) => {
    void readBody(request).then((body = '') => {
      const got = { method: request.method ?? '', path: request.url ?? '', body }
      received.push(got)
      const { status, headers, body: text } = respond(got) ?? { status: 404, body: '' }
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `https://localhost:${(server.address() as AddressInfo).port}`
  return { url, received }
}
