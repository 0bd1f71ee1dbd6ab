import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls'
import { codeOf, messageOf } from '../../errors.ts'
import { failed, ok, type Result } from '../checks.ts'

// The steps of one connection, one after the other, so that the one that fails has a name: DNS, TCP, TLS.

/** A server, and the settings in which people correct what is wrong with it. */
export interface Server {
  readonly host: string
  readonly port: number
  /** The setting that names the server: `BROKER_AUTHORITY`. */
  readonly setting: string
  /** The setting of further certificate authorities to trust: `NODE_EXTRA_CA_CERTS`. */
  readonly caSetting: string
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string
}

/** Looks the name up. */
export async function resolveName({ host, setting }: Server): Promise<Result<true>> {
  if (isIP(host) !== 0) return ok(true, `${host} is an address`)
  try {
    const addresses = (await lookup(host, { all: true })).map(({ address }) => address)
    return ok(true, `${host} is ${addresses.slice(0, 4).join(', ')}`)
  } catch (thrown) {
    return failed({
      text: `DNS does not resolve ${host} (${codeOf(thrown) ?? messageOf(thrown)})`,
      advice: `Compare the name with ${setting}. If it is right, the DNS server of this network does not know it.`,
      fix: [`nslookup ${host}`],
    })
  }
}

/** Opens a TCP connection, and closes it. */
export async function reachPort({ host, port }: Server, signal: AbortSignal): Promise<Result<true>> {
  try {
    const socket = await openSocket(host, port, signal)
    socket.destroy()
    return ok(true, `TCP to ${host}:${port}`)
  } catch (thrown) {
    const isRefused = codeOf(thrown) === 'ECONNREFUSED'
    return failed({
      text: `no TCP connection to ${host}:${port} (${signal.aborted ? 'no response' : (codeOf(thrown) ?? messageOf(thrown))})`,
      advice: isRefused
        ? 'The server is reached, and nothing listens at that port; or a firewall refuses the connection.'
        : 'A firewall, a network security group, a route table or a NetworkPolicy drops the packets.',
      fix: [`allow outgoing TCP from this network to ${host}:${port}`],
    })
  }
}

/** Opens a TCP connection. Rejects when the signal aborts. */
export function openSocket(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect({ host, port })
  settle(socket, 'connect', signal, () => resolve(socket), reject)
  return promise
}

/** Calls one of the two functions, once. Destroys the socket in the second case. */
export function settle(
  socket: Socket,
  event: string,
  signal: AbortSignal,
  done: () => void,
  fail: (error: unknown) => void,
): void {
  const abort = (): void => {
    fail(signal.reason)
    socket.destroy()
  }
  if (signal.aborted) return abort()
  signal.addEventListener('abort', abort, { once: true })
  const closed = (): void => fail(new Error('the connection was closed'))
  socket.once('error', fail)
  socket.once('close', closed)
  socket.once(event, () => {
    signal.removeEventListener('abort', abort)
    socket.off('close', closed)
    // An error of an open socket ends it; what is done with it next reports that.
    socket.on('error', () => undefined)
    done()
  })
}

/**
 * Makes a TLS handshake, and closes the connection. Nothing is sent over it: so a certificate that is not trusted can be looked
 * at.
 *
 * @param open makes the connection below TLS
 */
export async function reachTls(
  server: Server,
  open: () => Promise<Socket>,
  signal: AbortSignal,
): Promise<Result<true>> {
  const { host, port } = server
  let below: Socket | undefined
  let socket: TLSSocket | undefined
  try {
    below = await open()
    socket = await shakeHands(server, below, signal)
    return resultOf(server, socket)
  } catch (thrown) {
    return failed({
      text: `no TLS with ${host} (${signal.aborted ? 'no response' : (codeOf(thrown) ?? messageOf(thrown))})`,
      advice:
        'The connection ends in the handshake: a firewall that looks at TLS, or a server that does not speak TLS.',
      fix: [`openssl s_client -connect ${host}:${port} -servername ${host} </dev/null`],
    })
  } finally {
    socket?.destroy()
    below?.destroy()
  }
}

function shakeHands({ host, ca }: Server, below: Socket, signal: AbortSignal): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const socket = connectTls({
    socket: below,
    ...(isIP(host) === 0 && { servername: host }),
    host,
    ...(ca !== undefined && { ca }),
    // The result is read afterwards: this connection only shows whose certificate it is.
    rejectUnauthorized: false,
  })
  settle(socket, 'secureConnect', signal, () => resolve(socket), reject)
  return promise
}

const untrusted = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/

function resultOf({ host, port, caSetting }: Server, socket: TLSSocket): Result<true> {
  const certificate = socket.getPeerCertificate()
  const issuer = describe(certificate.issuer)
  if (socket.authorized) return ok(true, `TLS with ${host}; its certificate is issued by ${issuer}`)
  const error = codeOf(socket.authorizationError) ?? String(socket.authorizationError)
  const text = `the certificate of ${host} is not accepted (${error}); it is issued by ${issuer}`
  if (untrusted.test(error)) {
    return failed({
      text,
      advice:
        `If ${issuer} is your company's, a proxy or a firewall inspects TLS: get its CA certificate from its operator, as a ` +
        'PEM file. Otherwise something else responds in place of the server.',
      fix: [`${caSetting}=/etc/token-broker/ca.pem`],
    })
  }
  if (error === 'CERT_HAS_EXPIRED' || error === 'CERT_NOT_YET_VALID') {
    return failed({
      text: `${text}, valid ${certificate.valid_from} to ${certificate.valid_to}`,
      advice: 'Either the clock of this machine is wrong, or the certificate is not renewed.',
      fix: ['date -u   # compare it with the real time'],
    })
  }
  return failed({
    text: `${text} for ${certificate.subjectaltname ?? describe(certificate.subject)}`,
    advice: 'Something else responds in place of the server.',
    fix: [`openssl s_client -connect ${host}:${port} -servername ${host} </dev/null`],
  })
}

/** The certificate's field as `O, CN`. Without a certificate it is absent. */
function describe(name: PeerCertificate['issuer'] | undefined): string {
  const parts = [name?.O, name?.CN].flat().filter(part => part !== undefined)
  return parts.length === 0 ? 'an unnamed issuer' : JSON.stringify(parts.join(', '))
}
