import { createServer, type Socket } from 'node:net'
import type { Closing } from './broker.ts'

/** One authentication that the server got. */
export interface Authentication {
  readonly username: string
  readonly password: string
  readonly by: 'HELLO' | 'AUTH'
  /** The number of the connection, from 1. */
  readonly connection: number
}

/** A stand-in for a Redis that checks tokens, as Azure Managed Redis does. It stores nothing. */
export interface RespServer {
  readonly port: number
  readonly authentications: readonly Authentication[]
  /** Withholds the replies to SUBSCRIBE, until it is called with `false`. */
  readonly holdSubscriptions: (isHeld: boolean) => void
  /** How many it withholds. */
  readonly heldSubscriptions: () => number
  /** Closes the connections whose token has expired, as the server does. Returns their number. */
  readonly dropExpired: () => number
}

/**
 * Starts it on loopback.
 *
 * @param endOf when the token ends, in milliseconds since 1970; `undefined`: it is not accepted
 */
export async function startRespServer(
  closing: Closing,
  now: () => number,
  endOf: (username: string, password: string) => number | undefined,
): Promise<RespServer> {
  const authentications: Authentication[] = []
  const ends = new Map<Socket, number>()
  let connections = 0
  let isHeld = false
  const held: (() => void)[] = []

  const serve = (socket: Socket): void => {
    const connection = ++connections
    const authenticate = (by: Authentication['by'], username: string, password: string): boolean => {
      authentications.push({ username, password, by, connection })
      const end = endOf(username, password) ?? 0
      if (end > now()) ends.set(socket, end)
      return end > now()
    }
    let received = ''
    socket.on('error', () => undefined)
    socket.on('close', () => ends.delete(socket))
    socket.on('data', chunk => {
      received += chunk.toString('latin1')
      for (let next = commandAt(received); next; next = commandAt(received)) {
        received = received.slice(next.end)
        const reply = replyTo(next.words, ends.has(socket), authenticate)
        if (isHeld && next.words[0]?.toUpperCase() === 'SUBSCRIBE') held.push(() => socket.write(reply))
        else socket.write(reply)
      }
    })
  }
  const server = createServer(serve)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', () => resolve())
  await promise
  closing.after(() => {
    for (const socket of ends.keys()) socket.destroy()
    server.close()
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    authentications,
    holdSubscriptions: hold => {
      isHeld = hold
      if (!hold) for (const release of held.splice(0)) release()
    },
    heldSubscriptions: () => held.length,
    dropExpired: () => {
      const expired = [...ends].filter(([, end]) => end <= now())
      for (const [socket] of expired) socket.destroy()
      return expired.length
    },
  }
}

type Authenticate = (by: Authentication['by'], username: string, password: string) => boolean

const wrong = '-WRONGPASS invalid username-password pair or user is disabled.\r\n'

function replyTo(words: readonly string[], isKnown: boolean, authenticate: Authenticate): string {
  const [name = '', first = '', second = '', username = '', password = ''] = words
  const command = name.toUpperCase()
  if (command === 'HELLO' && second === 'AUTH') {
    return authenticate('HELLO', username, password) ? '%1\r\n+proto\r\n:3\r\n' : wrong
  }
  if (command === 'AUTH') return authenticate('AUTH', first, second) ? '+OK\r\n' : wrong
  if (!isKnown) return '-NOAUTH Authentication required.\r\n'
  if (command === 'GET') return '_\r\n'
  if (command === 'PING') return '+PONG\r\n'
  if (command === 'CLIENT') return '+OK\r\n'
  if (command === 'SUBSCRIBE') return `>3\r\n$9\r\nsubscribe\r\n$${first.length}\r\n${first}\r\n:1\r\n`
  return `-ERR unknown command ${command}\r\n`
}

/** The first command in what was received: an array of bulk strings. */
function commandAt(received: string): { readonly words: readonly string[]; readonly end: number } | undefined {
  const words: string[] = []
  let count = 0
  let end = 0
  for (const [line, kind = '', length = ''] of received.matchAll(/([*$])(\d+)\r\n/gy)) {
    end += line.length
    if (kind === '*') count = Number(length)
    break
  }
  for (; words.length < count;) {
    const [head = '', length = ''] = /^\$(\d+)\r\n/.exec(received.slice(end)) ?? []
    const start = end + head.length
    if (head === '' || received.length < start + Number(length) + 2) return undefined
    words.push(received.slice(start, start + Number(length)))
    end = start + Number(length) + 2
  }
  return count === 0 ? undefined : { words, end }
}
