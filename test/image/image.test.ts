import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { pinnedNode, shipped } from '../../scripts/bundle.ts'
import { read } from '../support/sources.ts'

/** The Dockerfile's instructions, with continued lines joined and without comments. */
const instructions: readonly (readonly [name: string, rest: string])[] = read('Dockerfile')
  .replaceAll(/^\s*#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter(line => line.trim() !== '')
  .map(line => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)])

const all = (name: string): readonly string[] => instructions.filter(([n]) => n === name).map(([, rest]) => rest)

/** An instruction of the last stage, which is the image. */
const last = (name: string): string => {
  const from = instructions.findLastIndex(([n]) => n === 'FROM')
  const [found, ...more] = instructions.slice(from).filter(([n]) => n === name)
  assert.ok(found && more.length === 0, `the last stage has one ${name}`)
  return found[1]
}

describe('the Dockerfile', () => {
  test('pins every base image by digest, or takes it from an argument whose default is pinned', () => {
    const defaults = all('ARG').map(arg => arg.split('='))
    const stages = new Set(all('FROM').map(from => / AS (\S+)$/.exec(from)?.[1]))
    for (const from of all('FROM')) {
      const argument = /^\$\{(\w+)\}/.exec(from)?.[1]
      if (argument === undefined) assert.match(from, /^\S+\/\S+:(?!latest)\S+@sha256:[0-9a-f]{64} AS [\w-]+$/)
      else assert.ok(stages.has(defaults.find(([name]) => name === argument)?.[1]), from)
    }
  })

  test('has the Node version with which everything is tested, and both base images are the same Debian', () => {
    const [node = '', runtime = ''] = all('FROM')
    assert.match(node, new RegExp(`^docker\\.io/library/node:${pinnedNode.slice(1)}-trixie-slim@`))
    assert.match(runtime, /^gcr\.io\/distroless\/cc-debian13:nonroot@/)
  })

  test('runs as a numeric user other than root, and stops with SIGTERM', () => {
    assert.equal(last('USER'), '10001:10001')
    assert.equal(last('STOPSIGNAL'), 'SIGTERM')
  })

  for (const name of ['ENTRYPOINT', 'CMD', 'HEALTHCHECK'])
    test(`${name} is in exec form, because there is no shell and signals must reach Node`, () => {
      const words: unknown = JSON.parse(last(name).replace(/^.*CMD /, ''))
      assert.ok(Array.isArray(words) && words.every(word => typeof word === 'string'))
      if (name !== 'CMD') assert.equal(words[0], '/usr/local/bin/node')
    })

  test('installs only what is in the lockfile, and runs no install scripts', () => {
    assert.deepEqual(all('ADD'), [])
    assert.deepEqual(
      all('RUN').filter(run => /curl|wget|apt|npm (?!ci --ignore-scripts )|npx/.test(run)),
      [],
    )
  })

  test('contains no secrets: no npmrc is copied, and no argument is a secret', () => {
    assert.ok(all('COPY').every(copy => !copy.includes('npmrc')))
    assert.deepEqual(
      instructions.filter(([name, rest]) => /^(ARG|ENV)$/.test(name) && /token|secret|password|key/i.test(rest)),
      [],
    )
  })

  test('describes the image in labels of the Open Container Initiative', () => {
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

/** What a file must not have, so that builders other than BuildKit build it. */
const ofBuildKit: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['a choice of the frontend', /^#\s*syntax\s*=/im],
  ['a here-document', /^(?:RUN|COPY|ADD)\b.*<<-?["']?\w/m],
  ['a mount of a RUN', /--mount\b/],
  ['the network or the sandbox of a RUN', /^RUN\s+--(?:network|security|device)\b/m],
  [
    'an option of COPY or ADD that is not --from or --chown',
    /^(?:COPY|ADD)\s+(?:--(?:from|chown)=\S+\s+)*--(?!from=|chown=)/m,
  ],
  ['an argument of the platform, which only BuildKit sets', /\b(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)\b/],
  ['a health check that only new versions know', /--start-interval/],
  ['a substitution beyond :- and :+', /\$\{\w+(?::[^-+]|[#%/])/],
]

describe('the Dockerfile needs no BuildKit: az acr build has none', () => {
  // As builders read it: comments go, except for directives, and continued lines are one.
  const text = read('Dockerfile')
    .replaceAll(/^#(?!\s*(?:syntax|escape|check)\s*=).*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
  for (const [what, pattern] of ofBuildKit) test(`it has not ${what}`, () => assert.doesNotMatch(text, pattern))

  const examples: readonly (readonly [line: string, nth: number])[] = [
    ['# syntax=docker/dockerfile:1', 0],
    ['RUN <<END', 1],
    ['COPY <<"END" /a', 1],
    ['RUN --mount=type=cache,target=/root/.npm npm ci', 2],
    ['RUN --network=none true', 3],
    ['COPY --link a b', 4],
    ['COPY --from=build --chmod=755 a b', 4],
    ['ADD --checksum=sha256:0 a b', 4],
    ['ARG TARGETARCH', 5],
    ['HEALTHCHECK --start-interval=1s CMD x', 6],
    ['ENV A=${B#c}', 7],
  ]
  for (const [line, nth] of examples)
    test(`the check finds "${line}"`, () => {
      assert.deepEqual(
        ofBuildKit.map(([, pattern], at) => (pattern.test(line) ? at : -1)).filter(at => at >= 0),
        [nth],
      )
    })
})

describe('docs/image.md changes the Dockerfile by sed', () => {
  const page = read('docs/image.md')
  const edited = (script: string): string =>
    spawnSync('sed', [script], { input: read('Dockerfile'), encoding: 'utf8' }).stdout

  test('for a registry of npm that requires a credential: as a mount, which no layer has', () => {
    const [, script = ''] = /sed '(s,\^RUN npm ci.+?)' Dockerfile/.exec(page) ?? []
    const mount = '--mount=type=secret,id=npmrc,target=/root/.npmrc'
    assert.ok(edited(script).includes(`\nRUN ${mount} npm ci --ignore-scripts`), script)
  })

  test("for bases of one's own with a builder that builds every stage: without the pinned ones", () => {
    const [, script = ''] = /sed -i '(.+?)' Dockerfile/.exec(page) ?? []
    const from = edited(script).match(/^FROM .*$/gm)
    assert.deepEqual(from, ['FROM ${NODE_IMAGE} AS build', 'FROM ${RUNTIME_IMAGE}'])
  })
})

describe('.dockerignore', () => {
  const lines = read('.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
  const copied = all('COPY')
    .filter(copy => !copy.startsWith('--from='))
    .flatMap(copy => copy.split(' ').slice(0, -1))

  test('includes exactly what the Dockerfile copies', () => {
    assert.equal(lines[0], '*')
    assert.deepEqual(lines.slice(1).toSorted(), copied.map(path => `!${path}`).toSorted())
  })

  test('includes everything that scripts/bundle.ts imports', () => {
    const imports = [...read('scripts/bundle.ts').matchAll(/from '\.\/([\w.-]+)'/g)].map(
      ([, file]) => `scripts/${file}`,
    )
    assert.ok(imports.length > 0)
    for (const path of imports) assert.ok(copied.includes(path), path)
  })
})

describe('docs/image.md', () => {
  test('lists every file that ships', () => {
    const page = read('docs/image.md')
    // The page's modules are listed by folder.
    const listed = (path: string) => path.replace(/^(web\/[\w-]+)\/.*/, '$1/*')
    for (const path of shipped) assert.ok(page.includes(`\`${listed(path)}\``), path)
  })
})
