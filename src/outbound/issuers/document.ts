import type { IncomingMessage } from 'node:http'
import type { FetchDocument } from '../../broker/events.ts'
import { httpCall, noSpans, type Spans } from '../../broker/lib/spans.ts'
import { messageOf } from '../../errors.ts'
import type { Egress } from '../network/egress.ts'
import { sendRequest } from '../network/request.ts'

/** Size limit of a document, in bytes. */
export const maxDocumentBytes = 512 * 1024

/** The media types of a discovery document and of a JWKS (RFC 7517 §8.5). Kubernetes API servers have only the second for keys. */
const accept = 'application/json, application/jwk-set+json'

/** How documents are fetched. */
export interface FetchOptions {
  readonly egress: Egress
  /** The deadline of all documents. */
  readonly signal: AbortSignal
  /** Each request is a span. Default: nothing is traced. */
  readonly spans?: Spans | undefined
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string | undefined
  /** A token that is sent as bearer, over https and to this origin only. */
  readonly credential?: { readonly origin: string; readonly token: string } | undefined
}

/** The server responded, with another status than 200. */
export class RefusedDocumentError extends Error {
  readonly status: number

  /** @param hint what to do, as the end of the message; may be empty */
  constructor(url: URL, status: number, hint: string) {
    super(`${url.href} responded HTTP ${status}${hint}`)
    this.name = 'RefusedDocumentError'
    this.status = status
  }
}

/**
 * Makes a function that fetches JSON documents of issuers: discovery documents and JWKS. It follows no redirect, so
 * that each document comes from the configured host, and limits size and time. It rejects with an Error that names the
 * URL, and never the token.
 */
export function documentFetcher(options: FetchOptions): FetchDocument {
  const { spans = noSpans } = options
  return url => {
    let status: number | undefined
    const call = httpCall('GET', url, () => status)
    return spans.call(call, async () => {
      const response = await get(url, options)
      status = response.statusCode
      return documentOf(response, url, options)
    })
  }
}

async function documentOf(response: IncomingMessage, url: URL, options: FetchOptions): Promise<unknown> {
  if (response.statusCode !== 200) {
    response.destroy()
    throw new RefusedDocumentError(url, response.statusCode ?? 0, hintAt(response, url, options))
  }
  const text = await readAll(response, url)
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${url.href} did not return JSON`)
  }
}

/** Whether the token belongs to the server of this URL. */
const isOwn = ({ protocol, origin }: URL, { credential }: FetchOptions): boolean =>
  protocol === 'https:' && origin === credential?.origin

/** What to do if a server requires the token that it was not sent. */
function hintAt({ statusCode }: IncomingMessage, url: URL, options: FetchOptions): string {
  const { credential } = options
  if (credential === undefined || isOwn(url, options) || (statusCode !== 401 && statusCode !== 403)) return ''
  return ` without the token of jwksTokenFile, which is sent to ${credential.origin} only; set jwksUri`
}

async function get(url: URL, options: FetchOptions): Promise<IncomingMessage> {
  const { egress, signal, ca, credential } = options
  const authorization = isOwn(url, options) ? { authorization: `Bearer ${credential?.token}` } : {}
  const headers = { accept, ...authorization }
  try {
    return await sendRequest(url, egress, { signal, headers, ...(ca !== undefined && { ca }) })
  } catch (cause) {
    throw new Error(`${url.href} could not be read: ${messageOf(cause)}`, { cause })
  }
}

/** Reads a response's body as text. Rejects if it is larger than {@link maxDocumentBytes}. */
export async function readAll(response: IncomingMessage, url: URL): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    const bytes: Buffer = chunk
    size += bytes.length
    if (size > maxDocumentBytes) throw new Error(`${url.href} is larger than ${maxDocumentBytes} bytes`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
