import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { settingsOf } from '../agent/flags.ts'
import { isObject } from '../../emulator/jws.ts'
import { read } from '../support/sources.ts'
import { blocksOf, sectionOf } from './tables.ts'

const page = read('docs/from-entra-sidecar.md')
const [json = ''] = blocksOf(page, 'json')
const [yaml = ''] = blocksOf(page, 'yaml')

/** The parameters that the sidecar 1.1.1 describes in its OpenAPI document, and those that only its source has. */
const parameters = [
  'Scopes',
  'RequestAppToken',
  'BaseUrl',
  'RelativePath',
  'HttpMethod',
  'AcquireTokenOptions.Tenant',
  'AcquireTokenOptions.ForceRefresh',
  'AcquireTokenOptions.Claims',
  'AcquireTokenOptions.CorrelationId',
  'AcquireTokenOptions.LongRunningWebApiSessionKey',
  'AcquireTokenOptions.FmiPath',
  'AcquireTokenOptions.PopPublicKey',
  'AcquireTokenOptions.ManagedIdentity.',
  'AcquireTokenOptions.AuthenticationOptionsName',
  'AgentIdentity',
  'AgentUsername',
  'AgentUserId',
]

describe('docs/from-entra-sidecar.md is true', () => {
  const policy = parsePolicy(yaml)
  const sidecar: unknown = JSON.parse(json)

  test('its example has a policy without a warning, for the same application, tenant and scope', () => {
    assert.deepEqual(policy.warnings, [])
    assert.ok(isObject(sidecar) && isObject(sidecar['AzureAd']) && isObject(sidecar['DownstreamApis']))
    const { TenantId: tenant, ClientId: clientId } = sidecar['AzureAd']
    assert.deepEqual([...policy.applications.values()], [clientId])
    assert.deepEqual([...policy.tenants.values()], [tenant])
    const [first] = Object.entries(sidecar['DownstreamApis'])
    assert.ok(first)
    const [name, api] = first
    assert.ok(isObject(api))
    assert.deepEqual([policy.scopes.get(name.toLowerCase())], api['Scopes'])
  })

  test('its example has an agent for the tenant of the policy', () => {
    const [, flags = ''] = /^token-broker agent (.+)$/m.exec(page) ?? []
    const { tenant, sidecar: isServed } = settingsOf([...flags.split(' '), '--secret-file', '/s'])
    assert.ok(isServed)
    assert.ok(policy.tenants.has(tenant))
  })

  test('it says where each parameter of a request goes', () => {
    const section = sectionOf(page, '## What a request says')
    for (const name of parameters)
      assert.ok(section.includes(name.replace(/^Acquire/, 'optionsOverride.Acquire')), name)
  })
})
