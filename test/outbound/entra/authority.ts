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

/** The response to a request; with `undefined`, a valid discovery document is sent. */
export type Respond = (request: Received, url: string) => Said | undefined

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
      const { status, headers, body: text } = respond(got, url) ?? discovery(url, got)
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

/** The discovery document of a tenant, with other fields where a test needs them. */
export function discovery(url: string, { path }: Received, fields: Readonly<Record<string, string>> = {}): Said {
  const base = `${url}/${path.split('/')[1]}`
  const document = {
    issuer: `${base}/v2.0`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    token_endpoint: `${base}/oauth2/v2.0/token`,
    jwks_uri: `${base}/discovery/v2.0/keys`,
    ...fields,
  }
  return { status: 200, body: JSON.stringify(document) }
}
