import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { createAuthority, type LeafOptions } from '../../emulator/certificates.ts'
import { createAdmission, createAuthenticate, type Caller } from '../../src/broker/authentication/authenticate.ts'
import { createCertificateVerifier } from '../../src/broker/authentication/client-certificates.ts'
import { algorithms } from '../../src/broker/authentication/jwt.ts'
import { coolDownMs, graceMs, maxKeys, refreshAfterMs, staleAfterMs } from '../../src/broker/authentication/jwks.ts'
import { authorize } from '../../src/broker/authorization/authorize.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { createSignatureLimiter, maxConcurrent } from '../../src/broker/authentication/signature-limiter.ts'
import { newKeyCommand } from '../../src/commands/key.ts'
import { runCommand } from '../../src/commands/command.ts'
import { BrokerError } from '../../src/errors.ts'
import { serverOptions } from '../../src/http/server/app.ts'
import { maxDocumentBytes } from '../../src/outbound/issuers/document.ts'
import { tokenRequest, goodClaims, ids, issuerWith, type Json, makeKey, mint } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'
import { blocksOf, rowsOf, sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const page = read('docs/callers.md')
const [head = ''] = blocksOf(page.split('\n## ')[0] ?? '', 'yaml')
const key = makeKey('ES256', 'key')
const clients = createAuthority('clients CA')

/** The policy of a section: its first block below the lines that all of them share. */
const policyOf = (section: string) => parsePolicy(`${head}${blocksOf(sectionOf(page, `## ${section}`), 'yaml')[0]}`)

/** A credential: claims of a token that is signed well, the text of a key, or a client certificate. */
type Credential = Json | string | X509Certificate

/** The rule that grants a credential a token in contoso, or the reason why it gets none. */
async function verdict(section: string, credential: Credential, header: Json = {}): Promise<string> {
  const clock = movableClock(Date.now())
  const policy = policyOf(section)
  const admission = createAdmission(
    policy,
    policy.issuers.map(({ name, issuer, audiences }) => issuerWith([key.jwk], { name, issuer, audiences })),
  )
  const authorities = { certificates: [new X509Certificate(clients.caPem)] }
  const certificates = createCertificateVerifier(() => authorities, clock)
  const signatures = createSignatureLimiter(clock)
  const authenticate = createAuthenticate({
    admission: () => admission,
    certificates,
    signatures,
    clock,
  })
  try {
    const caller: Caller = await (credential instanceof X509Certificate
      ? authenticate(undefined, () => ({ certificate: credential }))
      : authenticate(
          typeof credential === 'string' ? credential : mint(key, goodClaims(credential, clock.now()), header),
        ))
    return authorize(policy, caller, tokenRequest({ tenant: 'contoso' }), ids.home).rule
  } catch (thrown) {
    assert.ok(thrown instanceof BrokerError, String(thrown))
    return thrown.reason
  }
}

const client = (names: readonly string[], options: LeafOptions = {}, by = clients): X509Certificate =>
  new X509Certificate(by.issue({ names, usage: 'client', ...options }).certPem)
const spiffe = 'spiffe://prod.example/ns/billing/sa/worker'
const others = createAuthority('other clients CA')

const contoso = 'billing reads the directory of contoso'
const tenant = '0f0e0d0c-0000-4000-8000-000000000004'
const oid = '5d1f0000-0000-4000-8000-000000000007'
const v2 = {
  iss: `https://login.microsoftonline.com/${tenant}/v2.0`,
  aud: '7b7a7978-0000-4000-8000-000000000005',
  azp: ids.other,
  oid,
  sub: oid,
  roles: ['Broker.Tokens'],
}
const v1 = {
  ...v2,
  iss: `https://sts.windows.net/${tenant}/`,
  aud: 'api://7b7a7978-0000-4000-8000-000000000006',
  azp: undefined,
  appid: ids.other,
}
const cluster =
  'https://westeurope.oic.prod-aks.azure.com/0f0e0d0c-0000-4000-8000-000000000004/6a6b6c6d-0000-4000-8000-000000000008/'
const aks = { iss: cluster, sub: 'system:serviceaccount:billing:worker' }
const onprem = { iss: 'https://kubernetes.default.svc.cluster.local', sub: 'system:serviceaccount:billing:any' }
const factory = {
  iss: 'https://factory.example.internal:6443',
  sub: 'system:serviceaccount:billing:any',
  'kubernetes.io': { namespace: 'billing' },
}
const github = {
  iss: 'https://token.actions.githubusercontent.com',
  sub: 'repo:contoso@123456/app@456789:environment:production',
  repository_id: '456789',
  repository_owner_id: '123456',
  environment: 'production',
}
const svid = { iss: 'https://oidc.spire.example', sub: spiffe }

const cases: readonly [section: string, credential: Credential, expected: string, why: string, header?: Json][] = [
  ['Entra', v2, contoso, 'a v2.0 token of an application'],
  ['Entra', v1, contoso, 'a v1.0 token of an application'],
  ['Entra', { ...v2, aud: 'api://7b7a7978-0000-4000-8000-000000000005' }, 'audience', 'a v2.0 token with a URI'],
  ['Entra', { ...v2, scp: 'user_impersonation' }, 'delegated', 'a token that acts for a user'],
  ['Entra', { ...v2, azp: undefined }, 'claims', 'an ID token'],
  ['Entra', { ...v2, roles: ['Other'] }, 'no_rule', 'another role'],
  ['Entra', { ...v2, oid: ids.other }, 'no_rule', 'another principal with the role'],
  ['Entra', { ...v1, iss: v1.iss.slice(0, -1) }, 'issuer', 'the slash at the end counts'],
  ['Kubernetes', aks, contoso, 'a service account'],
  ['Kubernetes', onprem, contoso, 'a service account of the namespace, by a pattern'],
  ['Kubernetes', factory, contoso, 'a service account of the namespace, by a claim'],
  ['Kubernetes', { ...aks, iss: cluster.slice(0, -1) }, 'issuer', 'the slash at the end counts'],
  ['Kubernetes', { ...aks, aud: 'https://kubernetes.default.svc' }, 'audience', 'a token for the API server'],
  ['Kubernetes', { ...aks, iss: 'kubernetes/serviceaccount', exp: undefined }, 'issuer', 'a token of a Secret'],
  ['Kubernetes', { ...onprem, sub: 'system:serviceaccount:billing-2:any' }, 'no_rule', 'another namespace'],
  ['GitHub Actions', github, 'releases are registered in contoso', 'a job of the repository, in the environment'],
  ['GitHub Actions', { ...github, repository_id: '1' }, 'no_rule', 'another repository'],
  ['GitHub Actions', { ...github, repository_id: 456789 }, 'no_rule', 'ids are strings'],
  ['GitHub Actions', { ...github, environment: undefined }, 'no_rule', 'a job without the environment'],
  ['SPIFFE', svid, contoso, 'a JWT-SVID', { typ: 'JOSE' }],
  ['SPIFFE', { iss: 'https://spire.factory.example', sub: 'spiffe://factory.example/billing' }, contoso, 'by a bundle'],
  ['SPIFFE', { ...svid, iss: undefined }, 'issuer', 'SPIRE without a jwt_issuer'],
  ['SPIFFE', { ...svid, sub: `${spiffe}/a` }, 'no_rule', '"*" does not cross "/"'],
  ['Client certificates', client([spiffe]), contoso, 'by a URI'],
  ['Client certificates', client(['one.workers.example']), contoso, 'by a DNS name'],
  ['Client certificates', client(['a.b.workers.example']), 'no_rule', '"*" is one label'],
  ['Client certificates', client([spiffe], {}, others), 'certificate', 'of another authority'],
  ['Client certificates', client([spiffe], {}, createAuthority('clients CA')), 'certificate', 'of the same name'],
  ['Client certificates', client([spiffe], { isAuthority: true }), 'certificate', "an authority's own"],
  ['Client certificates', client([spiffe], { usage: 'server' }), 'certificate', 'for servers only'],
  ['Client certificates', client([], { commonName: spiffe }), 'certificate', 'a common name only'],
  ['Client certificates', client([spiffe, 'https://x.example/']), 'certificate', 'a SPIFFE ID and another URI'],
  ['Client certificates', client([spiffe], { days: -1 }), 'expired', 'expired'],
  ['Client certificates', client([spiffe], { from: 1, days: 2 }), 'not_yet_valid', 'not yet valid'],
  ['Client certificates forwarded by a proxy', client([spiffe]), contoso, 'by a URI'],
  [
    'Client certificates forwarded by a proxy',
    client([spiffe], {}, clients.below('middle')),
    'certificate',
    'comes alone',
  ],
]
describe('docs/callers.md', () => {
  for (const [section, credential, expected, why, header] of cases)
    test(`${section}: ${why}: ${expected}`, async () =>
      assert.equal(await verdict(section, credential, header), expected))

  test('the audience of assertions is refused at load, as the page says', () => {
    const [entra = ''] = blocksOf(sectionOf(page, '## Entra'), 'yaml')
    const text = entra.replace(/audiences: \[7b.*\]/, 'audiences: [api://AzureADTokenExchange]')
    assert.throws(() => parsePolicy(`${head}${text}`), /audience of client assertions/)
  })

  test('no policy on the page causes a warning', () => {
    const sections = [...page.matchAll(/^## (.+)$/gm)].map(([, name = '']) => name).filter(name => name !== 'Tokens')
    assert.equal(sections.length, 8)
    for (const section of sections) assert.deepEqual(policyOf(section).warnings, [], section)
  })
})

describe('docs/callers.md: the requirements of every token', () => {
  const rows = [...sectionOf(page, '## Tokens').matchAll(/^\| (?!otherwise)(.+) \| (`.+`) \|$/gm)]
  const reasons = new Set(rows.flatMap(([, , cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, word]) => word)))

  test('has a row for every reason that errors.md has for tokens, and no other', () => {
    const inErrors = rowsOf(sectionOf(read('docs/errors.md'), '### invalid_token')).map(([reason]) => reason ?? '')
    const ofOthers = new Set(['secret', 'client_secret', 'certificate'])
    assert.deepEqual(new Set(inErrors.filter(reason => !ofOthers.has(reason))), reasons)
  })

  const text = sectionOf(page, '## Tokens').replace(/\s+/g, ' ')
  test('names the algorithms, limits and times of the sources', () => {
    const named = ['RS', 'PS', 'ES'].flatMap(family => [256, 384, 512].map(bits => `${family}${bits}`))
    assert.deepEqual([...named, 'EdDSA', 'Ed25519'].toSorted(), algorithms.toSorted())
    assert.ok(text.includes('RS, PS or ES 256, 384, 512, EdDSA or Ed25519'))
    assert.deepEqual([refreshAfterMs, coolDownMs, staleAfterMs], [5 * 60_000, 10_000, 60 * 60_000])
    for (const words of ['five minutes old', 'once in ten seconds', 'serve for an hour'])
      assert.ok(text.includes(words))
    assert.ok(refreshAfterMs + graceMs < 6 * 60_000 && text.includes('within six minutes'))
    assert.ok(text.includes(`verifies ${maxConcurrent} signatures of one address at a time`))
    assert.deepEqual([maxDocumentBytes, maxKeys, serverOptions.maxHeaderSize], [512 * 1024, 100, 16 * 1024])
    for (const words of ['512 KiB and 100 keys', '16 KiB at most']) assert.ok(text.includes(words))
  })
})

describe('docs/callers.md: API keys', () => {
  const section = sectionOf(page, '## API keys')
  /** What the command prints, without its command line. */
  const [line = '', ...printed] = (blocksOf(section, 'console')[0] ?? '').split('\n')
  const run = async (): Promise<string> => {
    let written = ''
    const surroundings = { environment: {}, now: Date.now, handOverSignals: () => undefined }
    const out = (text: string) => void (written += text)
    await runCommand(newKeyCommand, line.split(' ').slice(4), { ...surroundings, out })
    return written
  }

  test('the command prints the output on the page', async () => {
    assert.match(line, /^\$ token-broker key new /)
    const gaps = printed.join('\n').split('…')
    assert.match(await run(), new RegExp(`^${gaps.map(part => RegExp.escape(part)).join('[^\\n]*?')}$`))
  })

  test('the expression finds a new key, and the hash in the policy authenticates it', async () => {
    const written = await run()
    const expression = /`(tb_\[.+?)`/.exec(section)?.[1] ?? ''
    const [made = ''] = new RegExp(`\\b${expression}\\b`).exec(written) ?? []
    const sha256 = /sha256: (\w+)/.exec(written)?.[1]
    assert.ok(made !== '' && sha256 !== undefined)
    const policy = `${head}${(blocksOf(section, 'yaml')[0] ?? '').replace(/sha256: \w+$/m, `sha256: ${sha256}`)}`
    const admission = createAdmission(parsePolicy(policy), [])
    const fingerprint = Buffer.from(sha256, 'hex').toString('base64url')
    assert.equal(admission.apiKeys.find(fingerprint, Date.now())?.key, 'erp')
    assert.equal(admission.apiKeys.find('x'.repeat(43), Date.now()), undefined)
  })
})
