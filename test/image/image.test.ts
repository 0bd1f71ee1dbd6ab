import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pinnedNode, shipped } from '../../scripts/bundle.ts'
import { read } from '../support/sources.ts'

/** The Dockerfile's instructions, continued lines joined, comments left out. */
const instructions: readonly (readonly [name: string, rest: string])[] = read('Dockerfile')
  .replaceAll(/^\s*#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter(line => line.trim() !== '')
  .map(line => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)])

const all = (name: string): readonly string[] => instructions.filter(([n]) => n === name).map(([, rest]) => rest)

/** What the last stage says, which is the image. */
const last = (name: string): string => {
  const from = instructions.findLastIndex(([n]) => n === 'FROM')
  const [found, ...more] = instructions.slice(from).filter(([n]) => n === name)
  assert.ok(found && more.length === 0, `the last stage has one ${name}`)
  return found[1]
}

describe('the Dockerfile', () => {
  test('takes every base by its digest, or from an argument whose default is one of those', () => {
    const defaults = all('ARG').map(arg => arg.split('='))
    const stages = new Set(all('FROM').map(from => / AS (\S+)$/.exec(from)?.[1]))
    for (const from of all('FROM')) {
      const argument = /^\$\{(\w+)\}/.exec(from)?.[1]
      if (argument === undefined) assert.match(from, /^\S+\/\S+:(?!latest)\S+@sha256:[0-9a-f]{64} AS [\w-]+$/)
      else assert.ok(stages.has(defaults.find(([name]) => name === argument)?.[1]), from)
    }
  })

  test('brings the Node with which everything is tested, and both bases are the same Debian', () => {
    const [node = '', runtime = ''] = all('FROM')
    assert.match(node, new RegExp(`^docker\\.io/library/node:${pinnedNode.slice(1)}-trixie-slim@`))
    assert.match(runtime, /^gcr\.io\/distroless\/cc-debian13:nonroot@/)
  })

  test('runs as a numeric user that is not root, and stops by SIGTERM', () => {
    assert.equal(last('USER'), '10001:10001')
    assert.equal(last('STOPSIGNAL'), 'SIGTERM')
  })

  for (const name of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK'])
    test(`${name} is in exec form: there is no shell, and signals reach Node itself`, () => {
      const words: unknown = JSON.parse(last(name).replace(/^.*CMD /, ''))
      assert.ok(Array.isArray(words) && words.every(word => typeof word === 'string'))
      if (name !== 'CMD') assert.equal(words[0], '/usr/local/bin/node')
    })

  test('fetches nothing but what the lockfile names, and runs no install script', () => {
    assert.deepEqual(all('ADD'), [])
    assert.deepEqual(
      all('RUN').filter(run => /curl|wget|apt|npm (?!ci --ignore-scripts )|npx/.test(run)),
      [],
    )
  })

  test('leaves no secret behind: those of npm are mounted, and no argument is one', () => {
    const [install = ''] = all('RUN')
    assert.match(install, /--mount=type=secret,id=npmrc,target=\/root\/\.npmrc /)
    assert.deepEqual(
      instructions.filter(([name, rest]) => /^(ARG|ENV)$/.test(name) && /token|secret|password|key/i.test(rest)),
      [],
    )
  })

  test('names what the image is in the labels of the Open Container Initiative', () => {
    const labels = [...last('LABEL').matchAll(/org\.opencontainers\.image\.([\w.]+)="([^"]*)"/g)]
    const { description, license } = JSON.parse(read('package.json')) as { description: string; license: string }
    assert.deepEqual(Object.fromEntries(labels.map(([, name, value]) => [name, value])), {
      title: 'token-broker',
      description,
      licenses: license,
      version: '${VERSION}',
      revision: '${REVISION}',
      source: '${SOURCE}',
      'base.name': '${BASE_NAME}',
      'base.digest': '${BASE_DIGEST}',
    })
  })
})

describe('.dockerignore', () => {
  const lines = read('.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
  const copied = all('COPY')
    .filter(copy => !copy.startsWith('--from='))
    .flatMap(copy => copy.split(' ').slice(0, -1))

  test('lets in what the Dockerfile copies, and nothing else', () => {
    assert.equal(lines[0], '*')
    assert.deepEqual(lines.slice(1).toSorted(), copied.map(path => `!${path}`).toSorted())
  })

  test('lets in everything that scripts/bundle.ts imports', () => {
    const imports = [...read('scripts/bundle.ts').matchAll(/from '\.\/([\w.-]+)'/g)].map(
      ([, file]) => `scripts/${file}`,
    )
    assert.ok(imports.length > 0)
    for (const path of imports) assert.ok(copied.includes(path), path)
  })
})

describe('docs/image.md', () => {
  test('names every file that ships', () => {
    const page = read('docs/image.md')
    for (const path of shipped) assert.ok(page.includes(`\`${path}\``), path)
  })
})
