import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { ClientAssertionCredential } from '@azure/identity'
import { sample } from '../../emulator/options.ts'
import { requestIdentityToken, claims, emulate, object } from './client.ts'

test('the Azure SDK exchanges an identity token for a customer tenant’s token', async t => {
  const emulator = await emulate(t)
  setDefaultCACertificates([...getCACertificates('default'), emulator.caPem])
  const assertion = String(object((await requestIdentityToken(emulator)).text)['access_token'])
  const credential = new ClientAssertionCredential(sample.homeTenant, sample.application, async () => assertion, {
    additionallyAllowedTenants: ['*'],
    authorityHost: emulator.entraUrl,
    disableInstanceDiscovery: true,
    retryOptions: { maxRetries: 0 },
  })
  const scope = 'https://graph.microsoft.com/.default'
  const { token } = await credential.getToken(scope, { tenantId: sample.contoso })
  assert.equal(claims(token)['tid'], sample.contoso)
  assert.deepEqual(emulator.counts().tenants[sample.contoso], { total: 1, outcomes: { issued: 1 } })
  await assert.rejects(credential.getToken(scope, { tenantId: sample.tailspin }), /AADSTS7000229/)
})
