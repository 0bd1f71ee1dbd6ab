import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { packageRoot } from '../../src/service/package.ts'

const folder = await mkdtemp(join(tmpdir(), 'token-broker-hooks-'))
after(() => rm(folder, { recursive: true, force: true }))

interface Ended {
  readonly code: number
  readonly text: string
}

const run = (file: string, environment: Readonly<Record<string, string>>): Promise<Ended> =>
  new Promise(resolve => {
    const path = `${join(folder, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`
    execFile(process.execPath, [file], { env: { PATH: path, HOME: folder, ...environment } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: `${stdout}${stderr}` }),
    )
  })

describe('after a deployment', () => {
  const calls = join(folder, 'calls')
  const place = { BROKER_DOCTOR_JOB: 'token-broker-doctor', AZURE_RESOURCE_GROUP: 'token-broker' }
  const quick = { BROKER_DOCTOR_PAUSE_SECONDS: '0', BROKER_DOCTOR_POLL_SECONDS: '0' }

  /** An Azure CLI whose executions have these statuses, one after the other. */
  async function azWith(...statuses: readonly string[]): Promise<void> {
    await mkdir(join(folder, 'bin'), { recursive: true })
    await writeFile(calls, '')
    await writeFile(join(folder, 'statuses'), `${statuses.join('\n')}\n`)
    const script = `#!/bin/sh
echo "$*" >> '${calls}'
case "$*" in
  *'job start'*) echo token-broker-doctor-abc12 ;;
  *'execution show'*) head -1 '${folder}/statuses'; tail -n +2 '${folder}/statuses' > '${folder}/rest'; mv '${folder}/rest' '${folder}/statuses' ;;
  *'logs show'*) echo 'what the doctor says' ;;
esac
`
    await writeFile(join(folder, 'bin/az'), script)
    await chmod(join(folder, 'bin/az'), 0o755)
  }
  const doctor = (environment: Readonly<Record<string, string>> = {}) =>
    run(join(packageRoot, 'infra/hooks/doctor.mjs'), { ...place, ...quick, ...environment })
  const startsOf = async () => (await readFile(calls, 'utf8')).match(/job start/g)?.length ?? 0

  test('without an image there is nothing to examine', async () => {
    await azWith()
    const { code, text } = await doctor({ BROKER_DOCTOR_JOB: '' })
    assert.deepEqual([code, await startsOf()], [0, 0])
    assert.match(text, /there is no image yet/)
  })

  test("the doctor's job runs once if all is well, and its text is shown", async () => {
    await azWith('Running', 'Processing', 'Succeeded')
    const { code, text } = await doctor({ AZURE_SUBSCRIPTION_ID: '00000000-0000-4000-8000-0000000000f1' })
    assert.deepEqual([code, await startsOf()], [0, 1])
    assert.match(text, /what the doctor says/)
    for (const line of (await readFile(calls, 'utf8')).trim().split('\n'))
      assert.match(line, /--resource-group token-broker --subscription 00000000-0000-4000-8000-0000000000f1$/)
  })

  test('a new federated credential takes minutes to become effective: the job runs again', async () => {
    await azWith('Failed', 'Failed', 'Succeeded')
    const { code, text } = await doctor()
    assert.deepEqual([code, await startsOf()], [0, 3])
    assert.match(text, /Failed \(attempt 2 of 4\)/)
  })

  test('the hook fails if the doctor still finds something wrong, and says how to run it again', async () => {
    await azWith('Failed', 'Failed')
    const { code, text } = await doctor({ BROKER_DOCTOR_ATTEMPTS: '2' })
    assert.deepEqual([code, await startsOf()], [1, 2])
    assert.match(text, /azd hooks run postprovision/)
  })

  test('a job that cannot be started is a failure', async () => {
    await azWith()
    await writeFile(join(folder, 'bin/az'), '#!/bin/sh\nexit 1\n')
    const { code, text } = await doctor({ BROKER_DOCTOR_ATTEMPTS: '1' })
    assert.equal(code, 1)
    assert.match(text, /not started \(attempt 1 of 1\)/)
  })

  test('without the extension for logs of jobs, the hook says how to install it, and the status counts', async () => {
    await azWith('Succeeded')
    const script = await readFile(join(folder, 'bin/az'), 'utf8')
    await writeFile(join(folder, 'bin/az'), script.replace("echo 'what the doctor says'", 'exit 2'))
    const { code, text } = await doctor()
    assert.equal(code, 0)
    assert.match(
      text,
      /token-broker-doctor-abc12, which is in the workspace too\. .*az extension add --name containerapp/,
    )
  })

  test('a name that is no name in Azure reaches no command line', async () => {
    await azWith('Succeeded')
    const { code } = await doctor({ AZURE_RESOURCE_GROUP: 'x & echo y' })
    assert.deepEqual([code, await startsOf()], [1, 0])
  })
})

describe('before a deployment', () => {
  /** A project with this policy: everything else is the project's own. */
  async function projectWith(policy: string): Promise<string> {
    const copy = await mkdtemp(join(folder, 'project-'))
    for (const name of ['infra', 'package.json'])
      await cp(join(packageRoot, name), join(copy, name), { recursive: true })
    for (const name of ['src', 'node_modules']) await symlink(join(packageRoot, name), join(copy, name))
    // The project's own could install packages, and would do so through the link.
    await mkdir(join(copy, 'scripts'))
    await writeFile(join(copy, 'scripts/setup.mjs'), "console.log('packages are installed')\n")
    if (policy !== '') await writeFile(join(copy, 'infra/policy.yaml'), policy)
    return join(copy, 'infra/hooks/check-policy.mjs')
  }

  test('the policy is checked, and what it decides is compared with policy-cases.yaml', async () => {
    const { code, text } = await run(await projectWith(''), {})
    assert.match(text, /packages are installed[\s\S]*is valid[\s\S]*5 cases, 0 failed/)
    assert.equal(code, 0)
  })

  test('a policy that the broker would refuse stops the deployment', async () => {
    const { code, text } = await run(await projectWith('applications: {}\nrule: []\n'), {})
    assert.equal(code, 3)
    assert.match(text, /rule \(line 2, column 1\): unknown key/)
  })

  test('a policy that grants too much stops it too', async () => {
    const granting = (await readFile(join(packageRoot, 'infra/policy.yaml'), 'utf8')).replace(
      'claims: { roles: Broker.Tokens }',
      "subject: 'some*'",
    )
    const { code, text } = await run(await projectWith(granting), {})
    assert.equal(code, 5)
    assert.match(text, /without the role it gets none/)
  })

  test('a placeholder is refused if nothing replaces it', async () => {
    const { code, text } = await run(await projectWith(''), { BROKER_REGISTRATIONS: 'false' })
    assert.equal(code, 1)
    assert.match(text, /has a placeholder[\s\S]*default: 0{8}-/)
  })
})
