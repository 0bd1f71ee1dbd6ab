import type { Clock } from '../../broker/lib/clock.ts'
import type { RecordedResponse } from '../../outbound/entra/http-client.ts'
import { readAll } from '../../outbound/issuers/document.ts'
import type { Egress } from '../../outbound/network/egress.ts'
import { sendRequest } from '../../outbound/network/request.ts'

/** A response to a request without a credential. */
export interface FetchedDocument extends RecordedResponse {
  /** The header `Date`. */
  readonly date: string | undefined
  /** By this machine's clock, the middle of the exchange, in milliseconds since 1970. */
  readonly at: number
}

/** Sends a GET without a credential, and reads the response, whatever its status. Follows no redirect. Limits the size. */
export async function getDocument(
  url: URL,
  egress: Egress,
  clock: Clock,
  signal: AbortSignal,
): Promise<FetchedDocument> {
  const sent = clock.now()
  const response = await sendRequest(url, egress, { signal, headers: { accept: 'application/json' } })
  const at = (sent + clock.now()) / 2
  const header = (name: string): string | undefined => {
    const value = response.headers[name]
    return typeof value === 'string' ? value : undefined
  }
  const body = await readAll(response, url)
  return { status: response.statusCode ?? 0, body, header, correlationId: undefined, date: header('date'), at }
}
