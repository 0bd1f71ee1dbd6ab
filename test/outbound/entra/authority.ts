import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createAuthority } from '../../../emulator/certificates.ts'
import { readBody } from '../../../emulator/http.ts'
import { type Closing, trust } from '../../support/broker.ts'

/** What an authority that means no good was sent. */
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

/** Answers a request; `undefined` leaves it to a discovery document that is in order. */
export type Answering = (request: Received, url: string) => Said | undefined

/** An authority that answers as a test likes, the assertion that it was sent at hand: what the emulator never does. */
export async function hostileAuthority(t: Closing, answer: Answering): Promise<HostileAuthority> {
  const ca = createAuthority('hostile authority')
  const { certPem, keyPem } = ca.issue()
  trust(ca.caPem)
  const received: Received[] = []
  const server = createServer({ cert: certPem, key: keyPem })
  server.on('request', (request, response) => {
    void readBody(request).then((body = '') => {
      const got = { method: request.method ?? '', path: request.url ?? '', body }
      received.push(got)
      const { status, headers, body: text } = answer(got, url) ?? discovery(url, got)
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

/** The discovery document of a tenant, with other members where a test wants them. */
export function discovery(url: string, { path }: Received, members: Readonly<Record<string, string>> = {}): Said {
  const base = `${url}/${path.split('/')[1]}`
  const document = {
    issuer: `${base}/v2.0`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    token_endpoint: `${base}/oauth2/v2.0/token`,
    jwks_uri: `${base}/discovery/v2.0/keys`,
    ...members,
  }
  return { status: 200, body: JSON.stringify(document) }
}
