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

test('there are workflows, and what they share', () => {
  assert.deepEqual(workflows, ['.github/workflows/ci.yml', '.github/workflows/release.yml'])
  assert.deepEqual(actions, ['.github/actions/image/action.yml'])
})

describe('actions are pinned by hash', () => {
  const line = /^\s*(?:- )?uses: (?:\.\/\S+|(?<name>[\w./-]+)@(?<hash>[0-9a-f]{40}) # (?<version>v\d+\.\d+\.\d+))$/

  for (const path of files)
    test(`${path}: each with the version that the hash stands for`, () => {
      const lines = read(path).split('\n')
      const wrong = lines.filter(text => /\buses:/.test(text) && !line.test(text))
      assert.deepEqual(wrong, [])
    })

  test('one hash for an action, wherever it is used', () => {
    const lines = files.flatMap(path => read(path).split('\n'))
    const pins = lines.map(text => line.exec(text)?.groups?.['name'] && text.replace(/^.*uses: /, '')).filter(Boolean)
    const byName = Map.groupBy(new Set(pins), pin => pin?.split('@')[0])
    for (const [name = '', different] of byName) assert.equal(different.length, 1, name)
    assert.ok(pins.length > 10)
  })

  test('so are the images that a build runs', () => {
    const images = files.flatMap(path => [...read(path).matchAll(/(?:image|generator)=(docker\.io\/\S+)/g)])
    assert.equal(images.length, 2)
    for (const [, image = ''] of images) assert.match(image, /@sha256:[0-9a-f]{64}$/)
  })
})

for (const path of workflows) {
  describe(path, () => {
    test('grants nothing to every job, and ends what is superseded', () => {
      const { permissions, concurrency } = parse(read(path)) as Workflow
      assert.deepEqual(permissions, {})
      assert.match(concurrency?.group ?? '', /\$\{\{ github\.ref \}\}$/)
    })

    for (const [name, job] of jobsOf(path)) {
      test(`${name}: names its permissions and its time`, () => {
        assert.ok(job.permissions)
        if (job.uses === undefined) assert.ok(Number(job['timeout-minutes']) <= 30)
      })

      test(`${name}: writes to what a release writes to, and to nothing else`, () => {
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

describe('what runs', () => {
  for (const path of files) {
    test(`${path}: no text from outside becomes part of a script`, () => {
      for (const { run = '' } of stepsOf(path)) assert.doesNotMatch(run, /\$\{\{/)
    })

    test(`${path}: a checkout leaves no credential behind`, () => {
      for (const { uses = '', with: options } of stepsOf(path))
        if (uses.startsWith('actions/checkout@')) assert.equal(options?.['persist-credentials'], false)
    })

    test(`${path}: there is no secret but the job's own token`, () => {
      const secrets = [...read(path).matchAll(/secrets\.(\w+)/g)].map(([, name]) => name)
      assert.deepEqual(new Set(secrets).difference(new Set(['GITHUB_TOKEN'])), new Set())
    })
  }

  const runs = stepsOf('.github/workflows/ci.yml').map(({ run }) => run)

  test('CI runs the one command that checks everything, with the Helm of the stored copies', () => {
    assert.ok(runs.includes('.ci/run'))
    assert.ok(runs.some(run => run?.includes(installHelm)))
  })

  test('a release runs CI first, and tries out what it pushes', () => {
    const jobs = Object.fromEntries(jobsOf('.github/workflows/release.yml'))
    assert.equal(jobs['ci']?.uses, './.github/workflows/ci.yml')
    const used = jobs['build']?.steps?.map(({ uses = '' }) => uses.split('@')[0]) ?? []
    const [tried, pushed] = ['./.github/actions/image', 'docker/build-push-action'].map(action => used.indexOf(action))
    assert.ok(tried !== -1 && Number(tried) < Number(pushed))
  })
})
