import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { parseObject, type Reply } from '../../support/broker.ts'

/** Sends bytes that no HTTP client would send, and reads the response until the connection closes. */
export async function sendRaw(url: string, request: string): Promise<Reply> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.setTimeout(10_000, () => socket.destroy(new Error('timed out')))
  socket.write(request)
  const response = await text(socket)
  const [head = '', body = ''] = response.split('\r\n\r\n', 2)
  const [first = '', ...lines] = head.split('\r\n')
  const headers = lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)])
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(headers) as Reply['headers'],
    text: body,
    json: parseObject(body),
  }
}
