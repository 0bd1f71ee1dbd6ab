import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Server, Socket } from 'node:net'
import { BrokerError, type ErrorCode } from '../../errors.ts'
import { problemOf } from './problems.ts'

/**
 * Answers what Node's parser gives up on before there is a request: malformed HTTP, headers over the limit, requests
 * that arrive too slowly. Nothing of what was received is repeated.
 *
 * @returns the code that was answered; `undefined` where nobody is left to read it
 */
export function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  requestId: string,
): ErrorCode | undefined {
  // In a handshake that never ends, a write would not end either.
  if (error.code === 'ECONNRESET' || error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' || !socket.writable) {
    socket.destroy()
    return undefined
  }
  return answer(socket, clientError(error.code), requestId)
}

/** Answers what Node would answer by itself, without a body or not at all, since no route can see it. */
export function answerUnroutable(server: Server, newId: () => string, answered: (code: ErrorCode) => void): void {
  const refuse = (socket: Socket, detail: string): void =>
    answered(answer(socket, new BrokerError('invalid_request', detail), newId()))
  server.on('checkExpectation', ({ socket }: IncomingMessage) => {
    refuse(socket, 'The Expect header asks for what the broker does not do.')
  })
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    refuse(socket, 'The broker is no proxy.')
  })
}

function answer(socket: Socket, error: BrokerError, requestId: string): ErrorCode {
  const { status, headers, body } = problemOf(error, requestId)
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': String(Buffer.byteLength(body)) })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`)
  // The peer may keep its side open for ever; the descriptor must not wait for it.
  socket.destroySoon()
  return error.code
}

function clientError(code: string | undefined): BrokerError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new BrokerError('headers_too_large', 'The request line and headers may have 16 KiB at most.')
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new BrokerError('request_timeout', 'The request did not arrive within the time allowed.')
  }
  return new BrokerError('invalid_request', 'The request is not valid HTTP/1.1.')
}
