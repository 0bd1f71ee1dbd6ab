import { X509Certificate } from 'node:crypto'
import { decodeJwt } from 'jose'
import type { Issuer } from '../../broker/authentication/authenticate.ts'
import type { Clock } from '../../broker/lib/clock.ts'
import type { Spans } from '../../broker/lib/spans.ts'
import { isExchange } from '../../broker/lib/identifiers.ts'
import { fetchedJwks, fixedJwks, parseJwks, type PublishedKeys, type Jwks } from '../../broker/authentication/jwks.ts'
import type { IssuerSettings } from '../../broker/policy/model.ts'
import type { Events, FetchDocument, Upstream } from '../../broker/events.ts'
import { InvalidConfigurationError, messageOf, type ConfigurationError } from '../../errors.ts'
import { discover, urlIn } from './discovery.ts'
import { documentFetcher, type FetchOptions } from './document.ts'
import { readCredentialFile } from '../files/credential-file.ts'
import { readLimitedFile } from '../files/files.ts'
import type { Egress } from '../network/egress.ts'

const maxFileBytes = 512 * 1024

/** What {@link connectIssuers} needs. */
export interface IssuerKeysOptions {
  readonly clock: Clock
  readonly egress: Egress
  /** Milliseconds for a fetch of keys, including the discovery document. */
  readonly timeoutMs: number
  /** Each request for keys is a span. Default: nothing is traced. */
  readonly spans?: Spans | undefined
  /** Called after each fetch of an issuer's keys. */
  readonly upstreamCalled: Events['upstreamCalled']
}

/** An issuer with the source of its keys, and its settings in the policy. */
export interface ConnectedIssuer extends Issuer {
  readonly settings: IssuerSettings
  /** The keys of `jwksFile`; `undefined` if the keys are fetched. */
  readonly fileKeys: PublishedKeys | undefined
}

/**
 * Connects the policy's issuers with the source of their keys. Files are read now; keys from a URL are fetched on use.
 *
 * @param previous issuers of the previous policy. One with the same settings, and the same keys in its file, is
 *   returned as the same object, with its keys
 * @throws InvalidConfigurationError that names every file that cannot be used
 */
export async function connectIssuers(
  settings: readonly IssuerSettings[],
  options: IssuerKeysOptions,
  previous: readonly ConnectedIssuer[] = [],
): Promise<readonly ConnectedIssuer[]> {
  const errors: ConfigurationError[] = []
  const previousBySettings = new Map(previous.map(issuer => [JSON.stringify(issuer.settings), issuer]))
  const issuers = await Promise.all(
    settings.map(async issuer => {
      const fileKeys = await readFiles(issuer, errors)
      const same = previousBySettings.get(JSON.stringify(issuer))
      if (same && same.fileKeys?.text === fileKeys?.text) return same
      if (fileKeys) options.upstreamCalled(issuerUpstream(issuer), 0)
      const keys = fileKeys ? fixedJwks(fileKeys) : fetchedKeys(issuer, options)
      const { name, issuer: iss, audiences } = issuer
      return { name, issuer: iss, audiences, keys, settings: issuer, fileKeys }
    }),
  )
  if (errors.length > 0) throw new InvalidConfigurationError('The policy names files that cannot be used', errors)
  return issuers
}

/** The errors of the files that the issuers name. */
export async function issuerFileErrors(settings: readonly IssuerSettings[]): Promise<readonly ConfigurationError[]> {
  const errors: ConfigurationError[] = []
  await Promise.all(settings.map(issuer => readFiles(issuer, errors)))
  return errors
}

/** An issuer as an upstream, for health and metrics. */
export const issuerUpstream = ({ name }: Pick<IssuerSettings, 'name'>): Upstream => ({ kind: 'issuer', name })

/**
 * Reads the keys of `jwksFile`, if there is one, and checks `caFile` and `jwksTokenFile`. Adds what cannot be used to
 * `errors`.
 */
async function readFiles(
  { name, jwksFile, caFile, jwksTokenFile }: IssuerSettings,
  errors: ConfigurationError[],
): Promise<PublishedKeys | undefined> {
  const orError = async <T>(key: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (thrown) {
      errors.push({ where: `issuers.${name}.${key}`, what: messageOf(thrown) })
      return undefined
    }
  }
  if (caFile !== undefined) await orError('caFile', () => readCa(caFile))
  if (jwksTokenFile !== undefined) await orError('jwksTokenFile', () => readToken(jwksTokenFile))
  if (jwksFile === undefined) return undefined
  return orError('jwksFile', async () => parseJwks(parseJson(await readLimitedFile(jwksFile, maxFileBytes))))
}

/** The CA file and the token file are read for each fetch, so that a new one needs no reload. Fetches are rare. */
function fetchedKeys(issuer: IssuerSettings, options: IssuerKeysOptions): Jwks {
  const { clock, egress, timeoutMs, spans, upstreamCalled } = options
  const upstream = issuerUpstream(issuer)
  const { name, caFile } = issuer
  return fetchedJwks(
    name,
    async () => {
      const signal = AbortSignal.timeout(timeoutMs)
      const ca = caFile === undefined ? undefined : await readCa(caFile)
      const credential = await credentialOf(issuer)
      return fetchKeys(issuer, documentFetcher({ egress, signal, ca, credential, spans }))
    },
    clock,
    (seconds, error) => upstreamCalled(upstream, seconds, error),
  )
}

/** The token of `jwksTokenFile`, and the origin that the policy names for it. */
async function credentialOf({ issuer, jwksUri, jwksTokenFile }: IssuerSettings): Promise<FetchOptions['credential']> {
  if (jwksTokenFile === undefined) return undefined
  return { origin: new URL(jwksUri ?? issuer).origin, token: await readToken(jwksTokenFile) }
}

async function readToken(path: string): Promise<string> {
  const token = await readCredentialFile(path)
  if (audiencesOf(token).some(isExchange)) {
    throw new Error(`${path} is the broker's own client assertion; give a token whose audience is the issuer's server`)
  }
  return token
}

/** The audiences of a JWT; none if it is another token. */
function audiencesOf(token: string): readonly string[] {
  try {
    return [decodeJwt(token).aud ?? []].flat()
  } catch {
    return []
  }
}

/** Parses JSON. The parser's own error would quote the file, so it is replaced. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the file is not JSON')
  }
}

/** The certificates of `caFile`, in PEM form. */
export async function readCa(path: string): Promise<string> {
  const pem = await readLimitedFile(path, maxFileBytes)
  if (!isCertificate(pem)) throw new Error(`${path} has no certificate in PEM form`)
  return pem
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined
  } catch {
    return false
  }
}

async function fetchKeys({ issuer, jwksUri }: IssuerSettings, fetchDocument: FetchDocument): Promise<unknown> {
  return fetchDocument(new URL(jwksUri ?? urlIn(await discover(issuer, fetchDocument), 'jwks_uri')))
}
