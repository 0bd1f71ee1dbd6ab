import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { agentCommand } from '../../src/commands/agent.ts'
import { helpOf } from '../../src/commands/command.ts'
import { tokenCommand } from '../../src/commands/token.ts'
import { tokenOutputs } from '../../src/caller/token-settings.ts'
import { sectionOf } from './tables.ts'
import { errorTable, type ErrorCode } from '../../src/errors.ts'
import { entraRowOf } from '../../src/http/token-endpoints/entra-errors.ts'
import { identityStatusOf } from '../../src/http/token-endpoints/identity-errors.ts'
import { oauthRowOf } from '../../src/http/token-endpoints/oauth-errors.ts'
import { read } from '../support/sources.ts'

const flagNames = Object.keys(agentCommand.options)

/** Codes for which the endpoint with Entra's protocol returns Entra's own error. */
const ofEntra = new Set(['consent_required', 'upstream_rejected'])

describe('docs/clients.md is true', () => {
  const page = read('docs/clients.md')
  test('it lists every code with its status and error at every endpoint', () => {
    const section = page.split('\n## Errors\n')[1] ?? ''
    const listed = [...section.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, code, cells]) => `${code} | ${cells}`)
    const known = Object.entries(errorTable).map(([code, { status }]) => {
      const { status: oauth, error } = oauthRowOf(code as ErrorCode)
      const row = entraRowOf(code as ErrorCode)
      const entra = ofEntra.has(code) ? "Entra's own" : `${row.status} \`${row.error}\``
      return `${code} | ${status} | ${oauth} \`${error}\` | ${entra} | ${identityStatusOf(code as ErrorCode)}`
    })
    assert.deepEqual(listed, known)
  })

  test('it lists every flag, format and exit code of token-broker token', () => {
    const section = sectionOf(page, '## From a shell: token-broker token')
    const firstCells = [...section.matchAll(/^\| (.+?) \|/gm)].map(([, cell = '']) => cell)
    const flags = Object.keys(tokenCommand.options).map(name => `--${name}`)
    const listed = firstCells.flatMap(cell => cell.match(/--[\w-]+(?=`)/g) ?? []).filter(flag => flag !== '--output')
    assert.deepEqual(listed.toSorted(), flags.filter(flag => flag !== '--output').toSorted())
    for (const output of tokenOutputs) assert.ok(firstCells.includes(`\`${output}\``), output)
    const codes = firstCells.filter(cell => /^\d$/.test(cell)).map(Number)
    assert.deepEqual(
      codes,
      tokenCommand.exits.map(([code]) => code),
    )
  })

  test('its links lead to existing pages and headings', () => {
    for (const name of ['docs/clients.md', 'docs/agent.md', 'examples/README.md'])
      for (const [, path = '', anchor] of read(name).matchAll(/\]\((?!https?:)([^)#]*)(#[^)]+)?\)/g)) {
        const target = path === '' ? name : new URL(path, `file:///${name}`).pathname.slice(1)
        if (!/\.(md|yaml|service)$/.test(target)) continue
        const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => slug(heading))
        if (anchor !== undefined) assert.ok(headings.includes(anchor.slice(1)), `${target}${anchor}`)
      }
  })
})

describe('the sections of tools are what npm run test:clients runs', () => {
  const section = read('docs/clients.md').split('\n## Tools\n')[1]?.split('\n## ')[0] ?? ''
  const blocksBelow = (heading: string) => section.split(`### ${heading}\n`)[1]?.split('\n### ')[0] ?? ''
  const rows: readonly (readonly [heading: string, program: string])[] = [
    ['Azure CLI with a token of your own', 'azure-cli/login.sh'],
    ['Azure CLI with a managed identity', 'azure-cli/login.sh'],
    ['kubelogin', 'kubelogin/login.sh'],
  ]
  for (const [heading, program] of rows)
    test(`${heading}: every option and every command`, () => {
      const text = read(`scripts/clients/tools/${program}`)
      const named = [...blocksBelow(heading).matchAll(/ (--[a-z-]+)|^(az|kubelogin) ([a-z-]+ ?[a-z-]*)(?= )/gm)].map(
        ([, option, , command]) => option ?? command ?? '',
      )
      assert.ok(named.length >= 3)
      for (const each of named) assert.ok(text.includes(each), each)
    })

  test("Microsoft's Agents SDK: the variable, the setting and the version", () => {
    const text = blocksBelow("Microsoft's Agents SDK")
    assert.match(text, /^export SIDECAR_URL=http:\/\/127\.0\.0\.1:8081$/m)
    assert.match(read('scripts/clients/token-endpoints.ts'), /SIDECAR_URL: agents\[tenant\]/)
    assert.match(text, /`SERVICE_NAME`/)
    assert.match(read('scripts/clients/tools/agents-sdk/show_token.py'), /SERVICE_NAME=/)
    const [, version = 'none'] = /==(.+)$/m.exec(read('scripts/clients/tools/agents-sdk/requirements.txt')) ?? []
    assert.ok(text.includes(`for Python, ${version}.`), version)
  })

  test('Prometheus: every field of oauth2', () => {
    const fields = (text: string) => [...text.matchAll(/^ {6}(\w+): /gm)].map(([, name]) => name)
    const documented = fields(blocksBelow('Prometheus'))
    assert.equal(documented.length, 6)
    assert.deepEqual(documented, fields(read('scripts/clients/tools/prometheus/scrape.ts')))
  })

  test('Terraform: the variable of the endpoint, and its path', () => {
    assert.match(
      blocksBelow('Terraform'),
      /ARM_MSI_ENDPOINT=http:\/\/127\.0\.0\.1:8081\/metadata\/identity\/oauth2\/token$/m,
    )
    assert.match(read('scripts/clients/tools/terraform/main.go'), /os\.Getenv\("ARM_MSI_ENDPOINT"\)/)
    assert.match(read('scripts/clients/token-endpoints.ts'), /ARM_MSI_ENDPOINT: .*\/metadata\/identity\/oauth2\/token/)
  })
})

/** The anchor of a heading. */
const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

describe('docs/agent.md is true', () => {
  const page = read('docs/agent.md')
  test('it lists every flag, and no other', () => {
    const listed = [...page.matchAll(/^\| `--([a-z-]+)` \|/gm)].map(([, name]) => name)
    assert.deepEqual(new Set(listed), new Set(flagNames))
  })
  test('--help lists every flag, and no other', () => {
    const listed = [...helpOf(agentCommand).matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name)
    assert.deepEqual(new Set(listed), new Set([...flagNames, 'help']))
  })
})
