import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { installHelm } from '../chart/helm.ts'
import { read } from '../support/sources.ts'

interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}

interface Job {
  readonly uses?: string
  readonly 'timeout-minutes'?: number
  readonly permissions?: Readonly<Record<string, string>>
  readonly needs?: string | readonly string[]
  readonly steps?: readonly Step[]
}

interface Workflow {
  readonly permissions?: Readonly<Record<string, string>>
  readonly concurrency?: { readonly group: string }
  readonly jobs: Readonly<Record<string, Job>>
}

const root = join(import.meta.dirname, '../..')
const workflows = globSync('.github/workflows/*.yml', { cwd: root }).toSorted()
const actions = globSync('.github/actions/*/action.yml', { cwd: root }).toSorted()

const jobsOf = (path: string): readonly (readonly [string, Job])[] =>
  Object.entries((parse(read(path)) as Workflow).jobs)

const stepsOf = (path: string): readonly Step[] =>
  actions.includes(path)
    ? (parse(read(path)) as { runs: { steps: readonly Step[] } }).runs.steps
    : jobsOf(path).flatMap(([, job]) => job.steps ?? [])

const files = [...workflows, ...actions]

test('there are two workflows and one shared action', () => {
  assert.deepEqual(workflows, ['.github/workflows/ci.yml', '.github/workflows/release.yml'])
  assert.deepEqual(actions, ['.github/actions/image/action.yml'])
})

describe('actions are pinned by hash', () => {
  const line = /^\s*(?:- )?uses: (?:\.\/\S+|(?<name>[\w./-]+)@(?<hash>[0-9a-f]{40}) # (?<version>v\d+\.\d+\.\d+))$/

  for (const path of files)
    test(`${path}: each has a comment with the version of the hash`, () => {
      const lines = read(path).split('\n')
      const wrong = lines.filter(text => /\buses:/.test(text) && !line.test(text))
      assert.deepEqual(wrong, [])
    })

  test('an action has the same hash everywhere', () => {
    const lines = files.flatMap(path => read(path).split('\n'))
    const pins = lines.map(text => line.exec(text)?.groups?.['name'] && text.replace(/^.*uses: /, '')).filter(Boolean)
    const byName = Map.groupBy(new Set(pins), pin => pin?.split('@')[0])
    for (const [name = '', different] of byName) assert.equal(different.length, 1, name)
    assert.ok(pins.length > 10)
  })

  test('the images that a build runs are pinned by digest', () => {
    const images = files.flatMap(path => [...read(path).matchAll(/(?:image|generator)=(docker\.io\/\S+)/g)])
    assert.equal(images.length, 2)
    for (const [, image = ''] of images) assert.match(image, /@sha256:[0-9a-f]{64}$/)
  })
})

for (const path of workflows) {
  describe(path, () => {
    test('grants no permissions to all jobs, and has one concurrency group per ref', () => {
      const { permissions, concurrency } = parse(read(path)) as Workflow
      assert.deepEqual(permissions, {})
      assert.match(concurrency?.group ?? '', /\$\{\{ github\.ref \}\}$/)
    })

    for (const [name, job] of jobsOf(path)) {
      test(`${name}: declares its permissions and its timeout`, () => {
        assert.ok(job.permissions)
        if (job.uses === undefined) assert.ok(Number(job['timeout-minutes']) <= 30)
      })

      test(`${name}: has no write permissions except those that a release needs`, () => {
        const writes = Object.entries(job.permissions ?? {}).filter(([, access]) => access !== 'read')
        const may = path.endsWith('release.yml') ? ['packages', 'id-token', 'attestations'] : []
        assert.deepEqual(
          writes.map(([scope]) => scope).filter(scope => !may.includes(scope)),
          [],
        )
      })
    }
  })
}

describe('steps', () => {
  for (const path of files) {
    test(`${path}: no expression is inserted into a script`, () => {
      for (const { run = '' } of stepsOf(path)) assert.doesNotMatch(run, /\$\{\{/)
    })

    test(`${path}: a checkout does not keep its credential`, () => {
      for (const { uses = '', with: options } of stepsOf(path))
        if (uses.startsWith('actions/checkout@')) assert.equal(options?.['persist-credentials'], false)
    })

    test(`${path}: the only secret is the job's own token`, () => {
      const secrets = [...read(path).matchAll(/secrets\.(\w+)/g)].map(([, name]) => name)
      assert.deepEqual(new Set(secrets).difference(new Set(['GITHUB_TOKEN'])), new Set())
    })
  }

  const runs = stepsOf('.github/workflows/ci.yml').map(({ run }) => run)

  test('CI runs .ci/run, with the Helm version of the stored charts', () => {
    assert.ok(runs.includes('.ci/run'))
    assert.ok(runs.some(run => run?.includes(installHelm)))
  })

  const release = jobsOf('.github/workflows/release.yml')

  test('a release runs CI first, and tests the image before it builds the archive that is published', () => {
    const jobs = Object.fromEntries(release)
    assert.equal(jobs['ci']?.uses, './.github/workflows/ci.yml')
    const used = jobs['build']?.steps?.map(({ uses = '' }) => uses.split('@')[0]) ?? []
    const [tested, built] = ['./.github/actions/image', 'docker/build-push-action'].map(action => used.indexOf(action))
    assert.ok(tested !== -1 && Number(tested) < Number(built))
    for (const name of ['build', 'chart']) assert.ok([jobs[name]?.needs].flat().includes('ci'), name)
  })

  test('a job that can publish or sign has no code of the repository: a package of the build cannot publish', () => {
    const writers = release.filter(([, { permissions = {} }]) => Object.values(permissions).includes('write'))
    assert.deepEqual(
      writers.map(([name]) => name),
      ['publish'],
    )
    for (const [, { steps = [] }] of writers)
      for (const { uses = '', run = '' } of steps) {
        assert.doesNotMatch(uses, /^(?:\.\/|actions\/checkout@)/)
        assert.doesNotMatch(run, /\b(?:npm|node|npx|git|docker run)\b/)
      }
  })

  test('image and chart are signed, and have an attestation of their build', () => {
    const { steps = [] } = Object.fromEntries(release)['publish'] ?? {}
    const attested = steps.filter(({ uses = '' }) => uses.startsWith('actions/attest@'))
    assert.deepEqual(
      attested.map(({ with: options }) => String(options?.['subject-name']).replace(/\W/g, '')),
      ['stepsindexoutputsimage', 'stepschartoutputschart'],
    )
    const script = steps.map(({ run = '' }) => run).join('\n')
    for (const name of ['SIGNED', 'CHART']) assert.match(script, new RegExp(`cosign sign .*"\\$${name}"`))
  })

  test('the chart is packaged and pushed with the Helm version of the stored charts', () => {
    const helms = [...read('.github/workflows/release.yml').matchAll(/go run (\S+@\S+)/g)].map(([, name]) => name)
    assert.deepEqual(new Set(helms), new Set([installHelm.split(' ').at(-1)]))
  })
})
