import type { Clock } from '../../broker/lib/clock.ts'
import { membersOfJson } from '../../broker/lib/json-members.ts'
import type { Config } from '../../config/config.ts'
import { codeOf, messageOf } from '../../errors.ts'
import type { Egress } from '../../outbound/network/egress.ts'
import { failed, notApplicable, ok, warning, type Checks, type Result, type Step } from '../checks.ts'
import { getDocument, type FetchedDocument } from '../hops/document.ts'
import { isDirect } from '../hops/no-proxy.ts'
import { openSocket, reachPort, reachTls, resolveName, type Server } from '../hops/reach.ts'
import { openTunnel } from '../hops/tunnel.ts'

/** The way to Entra. */
export interface NetworkSteps {
  /** Entra responds over https. */
  readonly reachable: Step<true>
  /** The clock is near enough to Entra's. Also `ok` if Entra's is not known. */
  readonly clock: Step<true>
}

/** Seconds from which the clock is reported. */
const warnSeconds = 5
/** Seconds from which Entra refuses assertions, or takes them for expired. */
const failSeconds = 120

/** Checks the way to Entra hop by hop, then with a request as the broker makes it, and compares the clocks. */
export async function checkNetwork(
  checks: Checks,
  config: Step<Config>,
  egress: (config: Config) => Egress,
  clock: Clock,
): Promise<NetworkSteps> {
  const ms = config.ok ? config.value.upstreamTimeoutMs : undefined
  const tls = await checkHops(checks, config, ms)
  const https = await checks.run(
    'network.https',
    { config, tls },
    (values, signal) => checkHttps(values.config, egress(values.config), clock, signal),
    ms,
  )
  const compared = await checks.run('network.clock', { https }, values => compareClocks(values.https))
  const reachable: Step<true> = https.ok ? { ok: true, value: true } : https
  return { reachable, clock: https.ok ? compared : { ok: true, value: true } }
}

/** The proxy, DNS, TCP and TLS, each only if those before it are well. */
async function checkHops(checks: Checks, config: Step<Config>, ms: number | undefined): Promise<Step<true>> {
  const way = await checks.run('network.proxy', { config }, (values, signal) => checkProxy(values.config, signal), ms)
  const hop = { config, way }
  const dns = await checks.run('network.dns', hop, values =>
    values.way === 'direct' ? resolveName(serverOf(values.config)) : notApplicable('the proxy looks the name up', true),
  )
  const tcp = await checks.run(
    'network.tcp',
    { ...hop, dns },
    (values, signal) =>
      values.way === 'direct'
        ? reachPort(serverOf(values.config), signal)
        : notApplicable('the proxy makes the connection', true),
    ms,
  )
  return checks.run(
    'network.tls',
    { ...hop, tcp },
    (values, signal) => handshake(values.config, values.way, signal),
    ms,
  )
}

function handshake(config: Config, way: Way, signal: AbortSignal): Promise<Result<true>> {
  const server = serverOf(config)
  const { proxy } = config
  const open = () =>
    way === 'direct' || !proxy ? openSocket(server.host, server.port, signal) : openTunnel(proxy.url, server, signal)
  return reachTls(server, open, signal)
}

function serverOf({ authority }: Pick<Config, 'authority'>): Server {
  const { hostname, port } = new URL(authority)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return { host, port: Number(port || 443), setting: 'BROKER_AUTHORITY', caSetting: 'NODE_EXTRA_CA_CERTS' }
}

type Way = 'direct' | 'proxy'

async function checkProxy(config: Config, signal: AbortSignal): Promise<Result<Way>> {
  const server = serverOf(config)
  if (!config.proxy) return notApplicable<Way>('no proxy: HTTPS_PROXY is not set', 'direct')
  const { url, shownUrl, noProxy } = config.proxy
  if (isDirect(server.host, server.port, noProxy))
    return notApplicable<Way>(`${server.host} is reached without the proxy, by NO_PROXY`, 'direct')
  try {
    const socket = await openTunnel(url, server, signal)
    socket.destroy()
    return ok<Way>('proxy', `the proxy ${shownUrl} connects to ${server.host}:${server.port}`)
  } catch (thrown) {
    const why = signal.aborted ? 'no response' : (codeOf(thrown) ?? messageOf(thrown))
    return failed({
      text: `the proxy ${shownUrl} makes no connection to ${server.host}:${server.port} (${why})`,
      advice:
        'HTTP 407: its user name and password belong into HTTPS_PROXY. HTTP 403 or 502: its operator must allow the host. ' +
        'Otherwise compare its address.',
      fix: [
        `HTTPS_PROXY=http://USER:PASSWORD@PROXY:PORT`,
        `NO_PROXY=${server.host}   # if Entra is reached without it`,
      ],
    })
  }
}

/** An open document of Entra, through the connections of the broker: that every tenant has, so any name will do. */
async function checkHttps(
  { authority }: Config,
  egress: Egress,
  clock: Clock,
  signal: AbortSignal,
): Promise<Result<FetchedDocument>> {
  const url = new URL(`${authority}/common/v2.0/.well-known/openid-configuration`)
  try {
    const response = await getDocument(url, egress, clock, signal)
    const { issuer, error } = membersOfJson(response.body)
    if (typeof issuer === 'string' || typeof error === 'string')
      return ok(response, `${url.host} responds over https (HTTP ${response.status})`)
    return failed({
      text: `HTTP ${response.status} from ${url.host} is not a response of Entra`,
      advice: 'Usually a proxy or a firewall responds in its place, or Entra is out of order.',
      fix: [`curl --verbose ${url.href}`],
    })
  } catch (thrown) {
    return failed({
      text: `no response of ${url.host} over https (${signal.aborted ? 'time-out' : (codeOf(thrown) ?? messageOf(thrown))})`,
      advice: 'The connection can be made, but the request has no response.',
      fix: [`curl --verbose ${url.href}`],
    })
  }
}

function compareClocks({ status, date, at }: FetchedDocument): Result<true> {
  const theirs = Date.parse(date ?? '')
  if (Number.isNaN(theirs)) return notApplicable(`the response (HTTP ${status}) has no date`, true)
  // The header has whole seconds.
  const seconds = Math.round((at - theirs - 500) / 1000)
  const difference = `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} Entra's`
  const line = {
    text: `the clock of this machine is ${difference}`,
    fix: ['set the clock of the host by NTP: chronyc tracking'],
  }
  if (Math.abs(seconds) > failSeconds) return failed(line)
  if (Math.abs(seconds) > warnSeconds) return warning(true, line)
  return ok(true, `the clock of this machine differs from Entra's by ${Math.abs(seconds)} s`)
}
