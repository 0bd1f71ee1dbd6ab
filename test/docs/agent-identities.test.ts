import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { describeClaims } from '../../src/broker/authentication/describe-caller.ts'
import { decide } from '../../src/broker/policy/decide.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { policyExplainCommand } from '../../src/commands/policy-explain.ts'
import { tokenCommand } from '../../src/commands/token.ts'
import { tokenEndpoints } from '../../src/http/token-endpoints/all.ts'
import { createTokenRequestReader } from '../../src/http/token-endpoints/requests/token-request.ts'
import { aadstsCodes } from '../../src/outbound/entra/aadsts-codes.ts'
import { read } from '../support/sources.ts'
import { blocksOf, sectionOf } from './tables.ts'

const page = read('docs/agent-identities.md')
const policy = parsePolicy(blocksOf(page, 'yaml')[0] ?? '')
const request = createTokenRequestReader()(Buffer.from(blocksOf(page, 'json')[0] ?? ''))

describe('docs/agent-identities.md', () => {
  test('its policy grants its request, and not the blueprint', () => {
    assert.deepEqual(policy.warnings, [])
    const claims = { iss: 'https://kubernetes.example.internal', sub: 'system:serviceaccount:assistants:helper' }
    const { facts } = describeClaims(policy, claims, 0)
    assert.equal(decide(policy, facts, request, undefined).verdict, 'granted')
    const { agent: _, ...rest } = request
    for (const application of ['assistants', 'default'])
      assert.equal(decide(policy, facts, { ...rest, application }, undefined).verdict, 'denied')
  })

  test('it says for every token endpoint how an agent identity is named', () => {
    const section = sectionOf(page, '## Request a token')
    for (const { method, path } of tokenEndpoints())
      assert.ok(section.includes(`\`${method} ${path.replace(':tenant', '{tenant}')}\``), path)
    assert.ok('agent' in tokenCommand.options && 'agent' in policyExplainCommand.options)
  })

  test('its codes are known', () => {
    const rows = [...sectionOf(page, '## When it fails').matchAll(/^\| ([\d, ]+) \|/gm)].map(([, codes = '']) => codes)
    assert.equal(rows.length, 12)
    for (const code of rows.flatMap(codes => codes.split(', ').map(Number))) assert.ok(aadstsCodes.has(code), `${code}`)
  })
})
