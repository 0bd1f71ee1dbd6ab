import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Server, Socket } from 'node:net'
import { BrokerError, type ErrorCode } from '../../errors.ts'
import { isClosing } from './early-responses.ts'
import { problemOf } from './problems.ts'

/**
 * Responds to input that Node's parser rejects before there is a request: malformed HTTP, headers over the limit,
 * requests that arrive too slowly. The response contains nothing of the input.
 *
 * @returns the code of the error; `undefined` if the peer can no longer read it, or already has its last response
 */
export function writeClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  requestId: string,
): ErrorCode | undefined {
  // During a handshake that never ends, a write would never end either.
  if (error.code === 'ECONNRESET' || error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' || !socket.writable) {
    socket.destroy()
    return undefined
  }
  if (isClosing(socket)) return undefined
  return writeResponse(socket, clientError(error.code), requestId)
}

/**
 * Responds to requests that reach no route and to which Node would respond without a body, or not at all.
 *
 * @param flush writes responses to earlier requests
 */
export function respondToUnroutable(
  server: Server,
  newId: () => string,
  responded: (code: ErrorCode) => void,
  flush: () => void,
): void {
  const refuse = (socket: Socket, detail: string): void => {
    flush()
    if (!isClosing(socket)) responded(writeResponse(socket, new BrokerError('invalid_request', detail), newId()))
  }
  server.on('checkExpectation', ({ socket }: IncomingMessage) => {
    refuse(socket, 'The broker does not support the expectation in the Expect header.')
  })
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    refuse(socket, 'The broker is not a proxy: CONNECT is not supported.')
  })
}

function writeResponse(socket: Socket, error: BrokerError, requestId: string): ErrorCode {
  const { status, headers, body } = problemOf(error, requestId)
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': String(Buffer.byteLength(body)) })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`)
  // The peer may keep its side open for ever; the file descriptor must not wait for it.
  socket.destroySoon()
  return error.code
}

function clientError(code: string | undefined): BrokerError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new BrokerError('headers_too_large', 'The request line and headers must not be larger than 16 KiB.')
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new BrokerError('request_timeout', 'The request did not arrive within 15 seconds.')
  }
  return new BrokerError('invalid_request', 'The request is not valid HTTP/1.1.')
}
