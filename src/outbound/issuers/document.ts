import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { FetchDocument } from '../../broker/events.ts'

/** Size limit of a document, in bytes. */
export const maxDocumentBytes = 512 * 1024

/**
 * Makes a function that fetches JSON documents of issuers: discovery documents and JWKS. It follows no redirect, so
 * that each document comes from the configured host, and limits size and time. It rejects with an Error that names the
 * URL.
 *
 * @param signal the deadline of all documents that are fetched with it
 * @param ca PEM certificates to trust instead of the system's
 */
export function documentFetcher(signal: AbortSignal, ca?: string): FetchDocument {
  return async url => {
    const response = await get(url, signal, ca)
    if (response.statusCode !== 200) {
      response.destroy()
      throw new Error(`${url.href} responded HTTP ${response.statusCode}`)
    }
    const text = await readAll(response, url)
    try {
      const document: unknown = JSON.parse(text)
      return document
    } catch {
      throw new Error(`${url.href} did not return JSON`)
    }
  }
}

function get(url: URL, signal: AbortSignal, ca: string | undefined): Promise<IncomingMessage> {
  const options = { signal, agent: false, headers: { accept: 'application/json' } }
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...options, ...(ca !== undefined && { ca }) }, resolve)
      : httpRequest(url, options, resolve)
  request.on('error', error => reject(new Error(`${url.href} could not be read: ${error.message}`, { cause: error })))
  request.end()
  return promise
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
