import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { fieldErrors } from '../../../src/http/token-endpoints/requests/token-request.ts'
import { startWorld } from '../../support/broker.ts'

const world = await startWorld()
const broker = await world.broker({ after })

const [, ofTenant] = fieldErrors.tenant
const ofLimit = 'limit must be a whole number from 1 to 1000.'
const ofCursor = 'cursor must be the next_cursor of the previous page.'
const unknown = (name: string) => `Unknown parameter ${JSON.stringify(name)}`

type Row = readonly [query: string, code: string, detail: string, why: string]
const bad: readonly Row[] = [
  ['limit=0', 'invalid_request', ofLimit, 'below the minimum'],
  ['limit=1001', 'invalid_request', ofLimit, 'above the maximum'],
  ['limit=-1', 'invalid_request', ofLimit, 'negative'],
  ['limit=1e3', 'invalid_request', ofLimit, 'a number in JavaScript notation'],
  ['limit=0x10', 'invalid_request', ofLimit, 'hexadecimal'],
  ['limit=010', 'invalid_request', ofLimit, 'a leading zero'],
  ['limit=5.0', 'invalid_request', ofLimit, 'a fraction'],
  ['limit=%205', 'invalid_request', ofLimit, 'a leading blank'],
  ['limit=+5', 'invalid_request', ofLimit, 'a leading blank, as forms encode it'],
  ['limit=5%0a', 'invalid_request', ofLimit, 'a line feed at the end'],
  ['limit=', 'invalid_request', ofLimit, 'nothing'],
  ['limit', 'invalid_request', ofLimit, 'without an equals sign'],
  ['limit=%D9%A5', 'invalid_request', ofLimit, 'a digit of another script'],
  ['limit=1000000000000', 'invalid_request', ofLimit, 'many digits'],
  ['limit=5&limit=5', 'invalid_request', ofLimit, 'given twice, with the same value'],
  ['limit=5&limit=6', 'invalid_request', ofLimit, 'twice'],
  ['limit[]=5', 'invalid_request', unknown('limit[]'), 'a list in PHP notation'],
  ['cursor=', 'invalid_request', ofCursor, 'nothing'],
  ['cursor=-1', 'invalid_request', ofCursor, 'negative'],
  ['cursor=abc', 'invalid_request', ofCursor, 'letters'],
  ['cursor=1e1', 'invalid_request', ofCursor, 'a number in JavaScript notation'],
  ['cursor=1%202', 'invalid_request', ofCursor, 'two'],
  ['cursor=1234567890123456', 'invalid_request', ofCursor, 'more digits than a safe integer has'],
  ['cursor=1&cursor=2', 'invalid_request', ofCursor, 'twice'],
  ['tenant=', 'invalid_tenant', ofTenant, 'nothing'],
  ['tenant=a&tenant=b', 'invalid_tenant', ofTenant, 'twice'],
  ['tenant=common', 'invalid_tenant', ofTenant, 'not one tenant'],
  ['tenant=organizations', 'invalid_tenant', ofTenant, 'not one tenant'],
  ['tenant=consumers', 'invalid_tenant', ofTenant, 'not one tenant'],
  ['tenant=*', 'invalid_tenant', ofTenant, 'no wildcard'],
  ['tenant=Contoso', 'invalid_tenant', ofTenant, 'a name in upper case'],
  ['tenant=a%20b', 'invalid_tenant', ofTenant, 'a blank'],
  ['tenant=%00', 'invalid_tenant', ofTenant, 'a zero byte'],
  [`tenant=${'a'.repeat(64)}`, 'invalid_tenant', ofTenant, 'longer than a name can be'],
  ['tenants=contoso', 'invalid_request', unknown('tenants'), 'misspelt'],
  ['Limit=5', 'invalid_request', unknown('Limit'), 'in upper case'],
  ['__proto__=1', 'invalid_request', unknown('__proto__'), 'a name like a property of every object'],
  ['constructor=1', 'invalid_request', unknown('constructor'), 'a name like a property of every object'],
  ['toString=1', 'invalid_request', unknown('toString'), 'a name like a property of every object'],
  ['=1', 'invalid_request', unknown(''), 'no name'],
  [`${'x'.repeat(100)}=1`, 'invalid_request', unknown('x'.repeat(64)), 'a long name is cut'],
  ['%22%3E%3Cb%3E=1', 'invalid_request', unknown('"><b>'), 'a cursor that is not a number'],
  ['limit=0&page=2', 'invalid_request', unknown('page'), 'an unknown parameter is reported first: it may be misspelt'],
]

const lists = ['/cache/entries', '/cache/failures', '/decisions']
const allowed = new Map([
  ['/cache/entries', 'tenant, agent, state, sort, limit, cursor'],
  ['/cache/failures', 'tenant, limit, cursor'],
  ['/decisions', 'tenant, outcome, limit, cursor'],
])
const ofState = 'state must be fresh, due, expired or at_risk.'
const ofSort = 'sort must be fetched or expires_on.'
const badEntries: readonly Row[] = [
  ['state=', 'invalid_request', ofState, 'nothing'],
  ['state=Fresh', 'invalid_request', ofState, 'in upper case'],
  ['state=failing', 'invalid_request', ofState, 'no state'],
  ['state=fresh&state=due', 'invalid_request', ofState, 'twice'],
  ['state=fresh,due', 'invalid_request', ofState, 'a list'],
  ['sort=', 'invalid_request', ofSort, 'nothing'],
  ['sort=tenant', 'invalid_request', ofSort, 'no order'],
  ['sort=-expires_on', 'invalid_request', ofSort, 'the other direction'],
  ['cursor=1.2', 'invalid_request', ofCursor, 'of another order'],
  ['sort=fetched&cursor=1.2', 'invalid_request', ofCursor, 'of another order'],
  ['sort=expires_on&cursor=1', 'invalid_request', ofCursor, 'of another order'],
  ['sort=expires_on&cursor=1.', 'invalid_request', ofCursor, 'a part is missing'],
  ['sort=expires_on&cursor=1.2.3', 'invalid_request', ofCursor, 'a part too many'],
]
const ofOutcome = 'outcome must be denied or failed.'
const badDecisions: readonly Row[] = [
  ['outcome=', 'invalid_request', ofOutcome, 'nothing'],
  ['outcome=issued', 'invalid_request', ofOutcome, 'issued tokens are not listed'],
  ['outcome=Denied', 'invalid_request', ofOutcome, 'in upper case'],
  ['outcome=denied&outcome=failed', 'invalid_request', ofOutcome, 'twice'],
  ['cursor=1.2', 'invalid_request', ofCursor, 'a cursor of entries'],
]
const badFailures: readonly Row[] = [
  ['state=fresh', 'invalid_request', unknown('state'), 'a parameter of entries'],
  ['sort=expires_on', 'invalid_request', unknown('sort'), 'a parameter of entries'],
  ['cursor=1.2', 'invalid_request', ofCursor, 'a cursor of entries'],
]
const rows = <R>(table: readonly R[]) => lists.flatMap(path => table.map(row => [path, row] as const))

describe('a bad query is 400', () => {
  const all = [
    ...rows(bad),
    ...badEntries.map(row => ['/cache/entries', row] as const),
    ...badFailures.map(row => ['/cache/failures', row] as const),
    ...badDecisions.map(row => ['/decisions', row] as const),
  ]
  for (const [path, [query, code, detail, why]] of all)
    test(`${path}?${query.slice(0, 40)}: ${why}`, async () => {
      const { status, headers, json, text } = await broker.get(`${path}?${query}`)
      assert.deepEqual([status, json['code']], [400, code], text)
      // A value that is one text is repeated behind the rule.
      const [rule, value] = String(json['detail']).split(/ (".*") is (?:not in lower case|not)\.$/)
      assert.equal(rule, detail.startsWith('Unknown') ? `${detail}; allowed: ${allowed.get(path)}.` : detail)
      const sent =
        [...new URL(`http://x/?${query}`).searchParams.values()].at(
          path === '/cache/entries' && badEntries.some(([each]) => each === query) ? -1 : 0,
        ) ?? ''
      if (value !== undefined) assert.deepEqual(JSON.parse(value), sent)
      assert.equal(headers['content-type'], 'application/problem+json; charset=utf-8')
      assert.equal(headers['cache-control'], 'no-store')
    })
})

describe('a good query is 200', () => {
  const good: readonly (readonly [query: string, why: string])[] = [
    ['', 'nothing'],
    ['?', 'nothing after the question mark'],
    ['?limit=1', 'the least'],
    ['?limit=999', 'three digits'],
    ['?limit=1000', 'the most'],
    ['?cursor=0', 'from the start'],
    ['?cursor=007', 'leading zeros of a cursor are ignored'],
    ['?cursor=123456789012345', 'as many digits as a safe integer has'],
    ['?tenant=contoso&limit=5&cursor=1', 'all parameters'],
    ['?%6Cimit=5', 'percent-encoded (RFC 3986 §6.2.2.2)'],
  ]
  const goodEntries = [
    ['?state=at_risk&sort=expires_on&limit=5&cursor=1795384800000.17', 'all parameters of entries'],
    ['?sort=fetched&cursor=17', 'the default, by name'],
  ] as const
  for (const [path, [query, why]] of [...rows(good), ...goodEntries.map(row => ['/cache/entries', row] as const)])
    test(`"${path}${query}": ${why}`, async () => {
      assert.equal((await broker.get(path + query)).status, 200)
    })
})
