import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  guidsIn,
  isGuid,
  isName,
  isSharedTenant,
  resourceOf,
  scopePattern,
  tenantPattern,
} from '../../../src/broker/lib/identifiers.ts'

type Table = readonly [text: string, is: boolean, why: string][]

const guid = '1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d'

function check(what: (text: string) => boolean, table: Table): void {
  for (const [text, is, why] of table) {
    const shown = text.length > 60 ? `${JSON.stringify(text.slice(0, 20))}… (${text.length})` : JSON.stringify(text)
    test(`${shown} ${is ? 'is' : 'is not'}: ${why}`, () => assert.equal(what(text), is))
  }
}

describe('a GUID', () => {
  check(isGuid, [
    [guid, true, 'lower case'],
    [guid.toUpperCase(), true, 'upper case'],
    [`{${guid}}`, false, 'no braces'],
    [guid.replaceAll('-', ''), false, 'hyphens are required'],
    [` ${guid}`, false, 'nothing before it'],
    [`${guid}\n`, false, 'nothing behind it, a line feed included'],
    [`${guid}/../evil`, false, 'no path behind it'],
    [guid.replace('1', 'g'), false, 'hexadecimal digits only'],
    [guid.slice(1), false, 'a digit is missing'],
    [`${guid}0`, false, 'a digit too many'],
    ['', false, 'nothing'],
  ])
})

describe('a name', () => {
  check(isName, [
    ['a', true, 'one character'],
    ['0', true, 'a digit'],
    ['contoso', true, 'a word'],
    ['a.b-c', true, 'dots and hyphens inside'],
    ['contoso.onmicrosoft.com', true, 'a domain'],
    ['a'.repeat(63), true, 'the longest'],
    ['a'.repeat(64), false, 'one too long'],
    ['', false, 'nothing'],
    ['Contoso', false, 'upper case'],
    ['-a', false, 'a hyphen first'],
    ['a-', false, 'a hyphen last'],
    ['.a', false, 'a dot first'],
    ['a.', false, 'a dot last'],
    ['..', false, 'dots only'],
    ['a_b', false, 'an underscore'],
    ['a b', false, 'a space'],
    ['a/b', false, 'a slash'],
    ['contoso\n', false, 'a line feed at the end'],
    ['ä', false, 'not ASCII'],
    ['__proto__', false, 'the name of an inherited property'],
    [guid, false, 'a GUID is not a name'],
  ])
})

describe('a scope', () => {
  const resource = (length: number) => `${'a'.repeat(length)}/.default`
  const scope = new RegExp(`^${scopePattern}$`)
  check(
    text => scope.test(text),
    [
      ['https://graph.microsoft.com/.default', true, "a resource's .default"],
      [`api://${guid}/.default`, true, 'an application ID URI'],
      [`${guid}/.default`, true, 'a client id'],
      ['https://management.core.windows.net//.default', true, 'a resource that ends in a slash'],
      [resource(480), true, 'the longest resource'],
      [resource(481), false, 'one too long'],
      ['a/.default', true, 'the shortest resource'],
      ['/.default', false, 'no resource'],
      ['.default', false, 'no resource and no slash'],
      ['https://graph.microsoft.com/User.Read', false, 'a single permission'],
      ['https://graph.microsoft.com/.Default', false, 'compared byte for byte'],
      ['https://graph.microsoft.com/.default ', false, 'a space behind it'],
      ['https://graph.microsoft.com/.default\n', false, 'a line feed behind it'],
      ['https://a/.default https://b/.default', false, 'two scopes'],
      ['https://a/.default offline_access', false, 'a second scope'],
      ['https://a/.defaultx', false, 'something behind it'],
      ['https://a/xdefault', false, 'the dot is a dot'],
      ['https://ä/.default', false, 'not ASCII'],
      ['https://a\u0000/.default', false, 'a control character'],
      ['https://a\u007f/.default', false, 'delete, the last control character'],
      ['!/.default', true, 'the first printable character (0x21)'],
      ['~/.default', true, 'the last printable character (0x7e)'],
    ],
  )
})

describe('a shared tenant', () => {
  check(isSharedTenant, [
    ['common', true, 'any tenant and personal accounts'],
    ['organizations', true, 'any tenant'],
    ['consumers', true, 'personal accounts'],
    ['Common', false, 'names are in lower case'],
    ['common2', false, 'a name of its own'],
    ['contoso', false, 'one tenant'],
  ])
})

describe('a tenant in a request', () => {
  const whole = new RegExp(`^${tenantPattern}$`)
  check(
    text => whole.test(text),
    [
      [guid, true, 'an id'],
      [guid.toUpperCase(), true, 'an id in any case'],
      ['contoso', true, 'a name'],
      ['common', false, 'any tenant'],
      ['organizations', false, 'any tenant'],
      ['consumers', false, 'personal accounts'],
      ['common2', true, 'a name that begins like one of those'],
      ['Contoso', false, 'names are in lower case'],
      ['../common', false, 'a path'],
      [`${guid}/..`, false, 'a path'],
      ['', false, 'nothing'],
    ],
  )
})

describe("a scope's resource", () => {
  const table: readonly [scope: string, resource: string, why: string][] = [
    ['https://graph.microsoft.com/.default', 'https://graph.microsoft.com', 'everything before /.default'],
    ['https://a//.default', 'https://a/', "the resource's own slash stays"],
    ['x/.default/.default', 'x/.default', 'only the last /.default'],
  ]
  for (const [scope, resource, why] of table) {
    test(`${scope}: ${why}`, () => assert.equal(resourceOf(scope), resource))
  }
})

test('every GUID in a text is found, in lower case', () => {
  const other = guid.replace('1a', 'FF')
  assert.deepEqual(guidsIn(`api://${guid.toUpperCase()}/${other}`), [guid, other.toLowerCase()])
  assert.deepEqual(guidsIn('https://graph.microsoft.com'), [])
})
