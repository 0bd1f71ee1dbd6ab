import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { packageRoot } from '../../src/service/package.ts'
import { read } from '../support/sources.ts'
import { at, compiled, full, listAt, small, type Json } from './template.ts'

const project = parse(read('azure.yaml')) as Json
const parameters = read('infra/main.bicepparam')

describe('azure.yaml', () => {
  test('azd up provisions, builds the image in the registry, and provisions the broker with it', () => {
    const steps = listAt(project, 'workflows', 'up', 'steps').map(step => step['azd'])
    assert.deepEqual(steps, ['provision', 'publish --all', 'provision'])
    assert.deepEqual(at(project, 'services', 'broker', 'docker'), {
      path: './Dockerfile',
      context: '.',
      image: 'token-broker',
      remoteBuild: true,
    })
  })

  test('names the service as the app is tagged, and only the app: azd accepts one resource with the tag', () => {
    assert.deepEqual(Object.keys(at(project, 'services') as object), ['broker'])
    assert.match(parameters, /^param azdService = 'broker'$/m)
    const tagged = small.resources.filter(({ tags }) => tags?.['azd-service-name'] !== undefined)
    assert.deepEqual(
      tagged.map(({ type }) => type),
      ['Microsoft.App/containerApps'],
    )
    assert.ok(full.resources.every(({ tags }) => tags?.['azd-service-name'] === undefined))
  })

  test('the parameters take the image from the variable in which azd keeps it', () =>
    assert.match(parameters, /^param image = readEnvironmentVariable\('SERVICE_BROKER_IMAGE_NAME', ''\)$/m))

  test('the deployment has the outputs by which azd finds group and registry, and the hooks the job', () => {
    for (const name of ['AZURE_RESOURCE_GROUP', 'AZURE_CONTAINER_REGISTRY_ENDPOINT', 'BROKER_DOCTOR_JOB'])
      assert.ok(at(compiled, 'outputs', name), name)
    const [group] = small.all('Microsoft.Resources/resourceGroups')
    assert.ok(group?.tags?.['azd-env-name'])
  })

  test('checks the policy before a deployment, and runs the doctor after it, on every platform', () => {
    const hooks = at(project, 'hooks') as Readonly<Record<string, Json>>
    const files = Object.entries(hooks).map(([name, hook]) => {
      const [posix, windows] = ['posix', 'windows'].map(platform => String(at(hook, platform, 'run')))
      assert.equal(windows, `${posix}; exit $LASTEXITCODE`)
      const [, file = ''] = /^node (infra\/hooks\/[\w-]+\.mjs)$/.exec(posix ?? '') ?? []
      assert.ok(existsSync(join(packageRoot, file)), file)
      return [name, file]
    })
    assert.deepEqual(files, [
      ['preprovision', 'infra/hooks/check-policy.mjs'],
      ['postprovision', 'infra/hooks/doctor.mjs'],
      ['postdeploy', 'infra/hooks/doctor.mjs'],
    ])
  })
})
