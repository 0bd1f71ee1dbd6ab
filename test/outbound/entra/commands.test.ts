import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { aadstsCodes, findCode } from '../../../src/outbound/entra/aadsts-codes.ts'

const part = (fields: object): string => Buffer.from(JSON.stringify(fields)).toString('base64url')
/** A token that is not verified here. */
const unsigned = (fields: object): string => `${part({ alg: 'RS256' })}.${part(fields)}.c2lnbmF0dXJl`

const target = {
  clientId: '30000000-0000-4000-8000-000000000001',
  tenant: '40000000-0000-4000-8000-000000000001',
  scope: 'https://graph.microsoft.com/.default',
}
const claims = { iss: 'https://issuer.example/v2.0', sub: 'subject', aud: ['api://AzureADTokenExchange'] }

/** The command of a code for an assertion with these claims. */
function commandOf(code: number, changes: object = {}): string {
  const assertion = unsigned({ ...claims, ...changes })
  const context = { target, authority: 'https://login.example', assertion, audience: 'api://AzureADTokenExchange' }
  return findCode([code])?.command?.(context) ?? ''
}

/** The words that a shell makes of a command; `az` itself is not run. */
const wordsOf = (command: string): readonly string[] =>
  execFileSync('/bin/sh', ['-c', `az() { printf '%s\\0' "$@"; }; ${command}`], { encoding: 'utf8' }).split('\0')

describe('the command of an AADSTS code', () => {
  for (const code of [70021, 70025, 7000226, 700211, 700213])
    test(`${code}: creates the credential that the assertion needs`, () => {
      const words = wordsOf(commandOf(code))
      assert.deepEqual(words.slice(0, 6), ['ad', 'app', 'federated-credential', 'create', '--id', target.clientId])
      assert.deepEqual(JSON.parse(words[7] ?? ''), {
        name: 'token-broker',
        issuer: claims.iss,
        subject: claims.sub,
        audiences: ['api://AzureADTokenExchange'],
      })
    })

  test('700212: changes the credential with the subject of the assertion, because another with it is not allowed', () => {
    const command = commandOf(700212)
    assert.match(command, /federated-credential update .*--query '\[\?subject==\S+subject\S+\]\.id' --output tsv\)"/)
  })

  test('claims cannot end the quotes of the shell', () => {
    const sub = `'; touch /tmp/x; echo "$(id)" '`
    const words = wordsOf(commandOf(700213, { sub }))
    assert.equal(words.length, 9)
    assert.equal((JSON.parse(words[7] ?? '') as { subject: string }).subject, sub)
    assert.ok(!wordsOf(commandOf(700212, { sub })).includes('touch'))
  })

  test('consent is a URL, and a disabled service principal is enabled in its tenant', () => {
    const url = `https://login.example/${target.tenant}/adminconsent?client_id=${target.clientId}`
    for (const code of [65001, 650056, 90099, 700011, 700016, 7000229, 501051]) assert.equal(commandOf(code), url)
    assert.equal(
      commandOf(7000112),
      `az login --tenant ${target.tenant} --allow-no-subscriptions && az ad sp update --id ${target.clientId} --set accountEnabled=true`,
    )
  })

  test('every code with a command has a remedy too, which callers get', () => {
    for (const [code, { command, remedy }] of aadstsCodes)
      assert.ok(command === undefined || remedy !== undefined, String(code))
  })
})

test('the remedy of a token of Kubernetes, whose audiences are a list, names its audience', () => {
  const context = { target, authority: 'https://login.example', assertion: unsigned(claims) }
  assert.match(findCode([700212])?.remedy?.(context) ?? '', /to exactly api:\/\/AzureADTokenExchange\./)
})
