import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Responses that are sent before the request's body has arrived. A proxy may use their connection again without sending
 * that body; the head of its next request, of another caller, would then be read as the rest of the body. So the
 * connection is closed.
 */

/** Milliseconds for which bytes of the body are still discarded: a reset could destroy the response on its way. */
const lingerMs = 1_000

const closing = new WeakSet<Socket>()

/** Whether nothing that arrives on a connection is a request any more (RFC 9112 §9.6). */
export const isClosing = (socket: Socket): boolean => closing.has(socket)

/** Whether a part of a request's body has not arrived. */
export const owesBody = ({ complete, headers }: IncomingMessage): boolean =>
  !complete && (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0')

/** Closes the connection after the response if a part of the body has not arrived. Must be called before it is sent. */
export function closeIfEarly({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (!owesBody(raw)) return
  reply.header('connection', 'close')
  const { socket } = raw
  closing.add(socket)
  // Node calls this once the response is written.
  socket.destroySoon = () => closeGently(socket)
}

/** Ends a connection, and destroys it when the peer has ended it too, or after {@link lingerMs}. */
function closeGently(socket: Socket): void {
  socket.end()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}

/** Whether a request is in the bytes that follow an early response. Costs nothing for the usual request. */
export const isAfterEarlyResponse = ({ raw: { socket } }: FastifyRequest, { raw }: FastifyReply): boolean =>
  // A response has no connection while the one before it is not written.
  (raw.socket === null || !socket.writable) && closing.has(socket)
