import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { agentCommand } from '../../src/commands/agent.ts'
import { helpOf } from '../../src/commands/command.ts'
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
