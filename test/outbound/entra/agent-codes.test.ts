import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { agentSteps, type AgentStep } from '../../../src/broker/events.ts'
import { aadstsCodes } from '../../../src/outbound/entra/aadsts-codes.ts'
import { exchangeFailure } from '../../../src/outbound/entra/entra-failure.ts'

const authority = 'https://login.example'
/** What a remedy can name. */
const facts = {
  blueprint: '30000000-0000-4000-8000-0000000000b1',
  agent: '60000000-0000-4000-8000-0000000000a1',
  tenant: '10000000-0000-4000-8000-0000000000c1',
  resource: 'https://graph.microsoft.com/.default',
  exchange: 'api://AzureADTokenExchange/.default',
  issuer: 'https://login.example/home/v2.0',
  subject: '20000000-0000-4000-8000-0000000000d1',
  home: '10000000-0000-4000-8000-0000000000ff',
  authority: `(${authority})`,
  consent: 'adminconsent?client_id=30000000-0000-4000-8000-0000000000b1',
  agentConsent: 'v2.0/adminconsent?client_id=60000000-0000-4000-8000-0000000000a1',
} as const
type Fact = keyof typeof facts

const claims = { iss: facts.issuer, sub: facts.subject, aud: 'api://AzureADTokenExchange', tid: facts.home }
const assertion = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`
const { blueprint: clientId, agent: agentId, tenant } = facts

/** Entra's text, of which nothing may be repeated. */
const marker = 'text of Entra'

function failureOf(step: AgentStep, codes: readonly number[], error = 'invalid_request') {
  const body = JSON.stringify({ error, error_codes: codes, error_description: `AADSTS${codes[0]}: ${marker}` })
  const response = { status: 400, body, header: () => undefined, correlationId: undefined }
  const scope = step === 'blueprint' ? facts.exchange : facts.resource
  const target = { clientId, agentId, tenant, scope }
  return exchangeFailure(response, undefined, { authority, assertion, target, step }, 0)
}

/** What a remedy names, in the order of {@link facts}. */
const namesIn = (remedy = ''): readonly string[] =>
  Object.entries(facts).flatMap(([name, value]) => (remedy.includes(value) ? [name] : []))

type Names = readonly Fact[]
type Row = readonly [codes: readonly number[], why: string, blueprint: Names, agent: Names]
const credential: Names = ['blueprint', 'issuer', 'subject']
const ofBoth: Names = ['blueprint', 'agent', 'tenant']
const rows: readonly Row[] = [
  [[50000, 50033, 90006, 90012, 90024, 90033, 90055, 90090, 90091], 'it passes by itself', [], []],
  [[50196], 'too many requests of the broker', ['tenant'], ['tenant']],
  [[50013, 700024, 700027], "the platform's clock, or the token of the blueprint", [], ['blueprint', 'agent']],
  [[70021, 70025, 7000226], 'the credential, or the wrong blueprint', credential, ofBoth],
  [[700211], 'its issuer', ['blueprint', 'issuer'], ofBoth],
  [[700212, 7002121], 'its audience', ['blueprint'], ofBoth],
  [[700213], 'its subject', ['blueprint', 'subject'], ofBoth],
  [[700222, 700236], 'the tenant of the registration', ['blueprint', 'home'], ofBoth],
  [[700238], "a policy of the blueprint's tenant, or of the agent identity's", [], ofBoth],
  [[700229], "what responds as identity endpoint, or the blueprint's token", [], ofBoth],
  [[90038, 900382, 900432], 'the cloud of the tenant', ['tenant', 'authority'], ['tenant', 'authority']],
  [[90002, 900023], 'the id of the tenant', ['tenant'], ['tenant']],
  [[5000225], 'a tenant that is blocked', ['tenant'], ['tenant']],
  [[65001, 650056], 'the consent for one of both', ['blueprint', 'tenant', 'consent'], assigned()],
  [[501051], 'a role that one of both needs', ['blueprint', 'tenant', 'exchange'], assigned()],
  [[90099, 700011, 700016, 7000229], 'who is missing', ['blueprint', 'tenant', 'consent'], ['agent', 'tenant']],
  [[7000112], 'who is disabled', ['blueprint', 'tenant'], ['agent', 'tenant']],
  [[53003, 530003, 530032, 530035], 'who is blocked', ['blueprint', 'tenant'], ['agent', 'tenant']],
  [[50001, 500011, 650057], 'a resource that is not there', exchanged(), ['tenant', 'resource']],
  [[500014], 'a resource that is disabled', exchanged(), ['tenant', 'resource']],
  [[28000, 70011, 1002012], 'the scope', exchanged(), ['resource']],
  [[90009], 'the scope is its own id', exchanged(), ['agent']],
  [[82001, 82008], 'one that is a blueprint', ['blueprint', 'agent'], ['agent', 'tenant', 'resource']],
]
/** The scope of token exchange, which no caller chooses. */
function exchanged(): Names {
  return ['blueprint', 'tenant', 'exchange', 'authority']
}
function assigned(): Names {
  return ['agent', 'tenant', 'resource', 'agentConsent']
}

describe('the remedy of a refused request for an agent identity', () => {
  for (const [codes, why, blueprint, agent] of rows)
    for (const code of codes)
      for (const [step, names] of Object.entries({ blueprint, agent }) as readonly (readonly [AgentStep, Names])[])
        test(`AADSTS${code} in the request of the ${step} names ${names.join(', ') || 'no id'}: ${why}`, () => {
          const { remedy } = failureOf(step, [code]).parts
          assert.deepEqual(namesIn(remedy), names, remedy ?? 'no remedy')
        })

  test('the table has every code that is known, once', () => {
    const codes = rows.flatMap(([each]) => each)
    assert.equal(new Set(codes).size, codes.length)
    assert.deepEqual(new Set(codes), new Set(aadstsCodes.keys()))
  })

  const unlisted: readonly (readonly [error: string, blueprint: Names, agent: Names])[] = [
    ['invalid_client', ofBoth, ofBoth],
    ['unauthorized_client', ofBoth, ['agent', 'tenant']],
    ['invalid_scope', ofBoth, []],
    ['invalid_request', ofBoth, []],
  ]
  for (const [error, blueprint, agent] of unlisted)
    test(`${error} without a known code: of the blueprint it names both, because the application may be none`, () => {
      assert.deepEqual(namesIn(failureOf('blueprint', [4242], error).parts.remedy), blueprint)
      assert.deepEqual(namesIn(failureOf('agent', [4242], error).parts.remedy), agent)
    })

  test('of several codes, the first known one decides about class and remedy', () => {
    for (const step of agentSteps) {
      const { code, parts } = failureOf(step, [4242, 90002, 7000112])
      assert.deepEqual([code, namesIn(parts.remedy)], ['upstream_rejected', ['tenant']])
    }
  })

  test("the details name the tenant, if that is the cause, and nothing of Entra's text is repeated", () => {
    for (const step of agentSteps)
      for (const code of [...aadstsCodes.keys(), 4242]) {
        const { message, parts } = failureOf(step, [code])
        assert.ok(!JSON.stringify([message, parts]).includes(marker), `${code}`)
        if ([90002, 900023, 5000225].includes(code)) assert.doesNotMatch(message, /blueprint|agent identity/)
      }
  })
})
