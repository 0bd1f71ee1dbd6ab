import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { InvalidConfigurationError } from '../../src/errors.ts'
import { withFileErrors } from '../../src/service/start-errors.ts'

const policy = parsePolicy(
  JSON.stringify({
    applications: { default: '30000000-0000-4000-8000-000000000001' },
    tenants: { contoso: '40000000-0000-4000-8000-000000000001' },
    issuers: { k8s: { issuer: 'https://k8s.example', audiences: ['a'], caFile: '/nowhere/ca.pem' } },
    rules: [
      {
        name: 'r',
        callers: [{ issuer: 'k8s', subject: 's' }],
        tenants: ['contoso'],
        scopes: ['https://graph.microsoft.com/.default'],
      },
    ],
  }),
)
const environment = { TLS_CERT_FILE: '/nowhere/tls.crt', TLS_KEY_FILE: '/nowhere/tls.key' }

test('a start that fails because of one file reports the errors of all files, each once', async () => {
  const failed = new InvalidConfigurationError('x', [
    { where: 'ANOTHER_FILE', what: 'cannot be read' },
    { where: 'TLS_CERT_FILE', what: 'ENOENT' },
  ])
  const { errors } = await withFileErrors(failed, environment, policy)
  assert.deepEqual(
    errors.map(({ where }) => where),
    ['ANOTHER_FILE', 'TLS_CERT_FILE', 'TLS_KEY_FILE', 'issuers.k8s.caFile'],
  )
})
