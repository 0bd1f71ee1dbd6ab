import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { sample } from '../../emulator/options.ts'
import { claims, goodForm, object, post } from './client.ts'

const otherBlueprint = '30000000-0000-4000-8000-0000000000c2'
const agentOfOther = '60000000-0000-4000-8000-0000000000a2'
const agentAtHome = '60000000-0000-4000-8000-0000000000a3'
const exchangeScope = 'api://AzureADTokenExchange/.default'
let emulator: Emulator

before(async () => {
  emulator = await startEmulator({
    applications: [
      { clientId: sample.application },
      {
        clientId: sample.blueprint,
        agentIdentities: [
          { clientId: sample.agentIdentity, tenant: sample.contoso },
          { clientId: agentAtHome, tenant: sample.homeTenant },
        ],
      },
      { clientId: otherBlueprint, agentIdentities: [{ clientId: agentOfOther, tenant: sample.contoso }] },
    ],
    tenants: [{ id: sample.contoso }, { id: sample.fabrikam }, { id: sample.tailspin, consented: [] }],
  })
})
after(() => emulator.close())

type Changes = Record<string, string | undefined>

/** The first request: the blueprint, for its agent identity. */
async function asBlueprint(changes: Changes = {}, tenant: string = sample.contoso) {
  const fields = { client_id: sample.blueprint, scope: exchangeScope, fmi_path: sample.agentIdentity }
  return post(emulator, tenant, await goodForm(emulator, { ...fields, ...changes }))
}

const tokenOf = (text: string): string => String(object(text)['access_token'])

/** The second request: the agent identity, with the token of the first. */
async function asAgent(assertion: string, changes: Changes = {}, tenant: string = sample.contoso) {
  const fields = { client_id: sample.agentIdentity, client_assertion: assertion }
  return post(emulator, tenant, await goodForm(emulator, { ...fields, ...changes }))
}

const errorOf = ({ text }: { readonly text: string }) => {
  const { error, error_codes: codes } = object(text)
  return [error, ...(Array.isArray(codes) ? codes : [])]
}

test('a blueprint gets a token for its agent identity, which gets that of the resource with it', async () => {
  const first = await asBlueprint()
  assert.equal(first.status, 200)
  const second = await asAgent(tokenOf(first.text))
  assert.equal(second.status, 200)
  const { appid, tid, idtyp, oid, sub, scp, xms_par_app_azp: parent } = claims(tokenOf(second.text))
  assert.deepEqual([appid, tid, idtyp, parent], [sample.agentIdentity, sample.contoso, 'app', sample.blueprint])
  assert.deepEqual([oid, sub, scp], [sample.agentIdentity, sample.agentIdentity, '/'])
})

test('the first token is of the tenant, of the blueprint, and for token exchange', async () => {
  const { tid, azp, aud, iss, sub } = claims(tokenOf((await asBlueprint()).text))
  assert.deepEqual([tid, azp, aud], [sample.contoso, sample.blueprint, 'fb60f99c-7a34-4190-8149-302f77469936'])
  assert.equal(iss, `${emulator.entraUrl}/${sample.contoso}/v2.0`)
  assert.match(String(sub), new RegExp(`^/eid1/c/pub/t/.+/a/.+/${sample.agentIdentity}$`))
})

const refusedFirst: readonly (readonly [why: string, changes: Changes, tenant: string, ...error: unknown[]])[] = [
  ['no fmi_path', { fmi_path: undefined }, sample.contoso, 'invalid_request', 82008],
  ['an empty fmi_path', { fmi_path: '' }, sample.contoso, 'invalid_request', 82008],
  [
    'a resource for the blueprint itself',
    { scope: 'https://graph.microsoft.com/.default' },
    sample.contoso,
    'unauthorized_client',
    82001,
  ],
  ['a blueprint without consent', {}, sample.tailspin, 'invalid_client', 7000229],
  ['an unknown tenant', {}, '40000000-0000-4000-8000-0000000000ff', 'invalid_request', 90002],
  [
    'the grant of RFC 8693',
    { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange' },
    sample.contoso,
    'unauthorized_client',
    82001,
  ],
  [
    'an application that is no blueprint',
    { client_id: sample.application },
    sample.contoso,
    'invalid_resource',
    500011,
  ],
]
for (const [why, changes, tenant, ...error] of refusedFirst)
  test(`the first request is refused: ${why}`, async () => {
    assert.deepEqual(errorOf(await asBlueprint(changes, tenant)), error)
  })

test('the first request is refused without the federated credential of the blueprint', async t => {
  emulator.setFederatedCredentials(sample.blueprint, [])
  t.after(() => emulator.setFederatedCredentials(sample.blueprint, [{}]))
  assert.deepEqual(errorOf(await asBlueprint()), ['invalid_client', 70025])
})

test("the second request is refused with a token for another blueprint's agent identity", async () => {
  const assertion = tokenOf((await asBlueprint({ fmi_path: agentOfOther })).text)
  assert.deepEqual(errorOf(await asAgent(assertion, { client_id: agentOfOther })), ['invalid_client', 700213])
})

test('the second request is refused with a token for another agent identity of the blueprint', async () => {
  const assertion = tokenOf((await asBlueprint({ fmi_path: agentAtHome })).text)
  assert.deepEqual(errorOf(await asAgent(assertion)), ['invalid_client', 700213])
})

test('the second request is refused if the first was sent to the tenant of the blueprint', async () => {
  const assertion = tokenOf((await asBlueprint({}, sample.homeTenant)).text)
  assert.deepEqual(errorOf(await asAgent(assertion)), ['invalid_client', 700211])
})

test("the second request is refused in the wrong order, with the managed identity's token", async () => {
  assert.deepEqual(errorOf(await asAgent(await emulator.mintIdentityToken())), ['invalid_client', 700211])
  const atHome = await asAgent(await emulator.mintIdentityToken(), { client_id: agentAtHome }, sample.homeTenant)
  assert.deepEqual(errorOf(atHome), ['invalid_client', 700213])
})

test('an agent identity exists in its own tenant only', async () => {
  const assertion = tokenOf((await asBlueprint({}, sample.fabrikam)).text)
  assert.deepEqual(errorOf(await asAgent(assertion, {}, sample.fabrikam)), ['unauthorized_client', 700016])
})

test('a blueprint in the tenant of the identity impersonates its agent identity there', async () => {
  const assertion = tokenOf((await asBlueprint({ fmi_path: agentAtHome }, sample.homeTenant)).text)
  const reply = await asAgent(assertion, { client_id: agentAtHome }, sample.homeTenant)
  assert.equal(reply.status, 200)
})

test('an agent identity whose principal was deleted gets no token', async t => {
  const assertion = tokenOf((await asBlueprint()).text)
  emulator.setConsent(sample.contoso, sample.agentIdentity, false)
  t.after(() => emulator.setConsent(sample.contoso, sample.agentIdentity, true))
  assert.deepEqual(errorOf(await asAgent(assertion)), ['invalid_client', 7000229])
})
