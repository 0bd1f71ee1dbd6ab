import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { valueFiles, withHelm } from './helm.ts'
import { renderObjects, selects } from './objects.ts'

describe('the pod of `helm test` that runs the doctor', withHelm, () => {
  for (const name of valueFiles) {
    test(`${name}.yaml: it has the identity, the environment and the files of the broker, and another command`, async () => {
      const { doctor, pod, one } = await renderObjects(name)
      const [broker] = pod.containers
      const [own, ...others] = doctor.spec?.containers ?? []
      assert.deepEqual(others, [])
      assert.deepEqual([broker?.args, own?.args], [['serve'], ['doctor']])
      assert.deepEqual(own?.env, broker?.env)
      assert.deepEqual(own?.volumeMounts, broker?.volumeMounts)
      assert.deepEqual(doctor.spec?.volumes, pod.volumes)
      assert.equal(doctor.spec?.serviceAccountName, pod.serviceAccountName)
      const label = 'azure.workload.identity/use'
      const template = one('Deployment').spec?.template.metadata?.labels
      assert.equal(doctor.metadata?.labels?.[label], template?.[label])
    })

    test(`${name}.yaml: it may reach what the broker may, and nothing may reach it`, async () => {
      const { doctor, one } = await renderObjects(name)
      const broker = one('Deployment').metadata?.name
      const policy = one('NetworkPolicy', `${broker}-doctor`).spec
      assert.ok(selects(policy?.podSelector?.matchLabels, doctor.metadata?.labels))
      assert.deepEqual(policy?.egress, one('NetworkPolicy', broker).spec?.egress)
      assert.equal(policy?.ingress, undefined)
      assert.deepEqual(policy?.policyTypes, ['Ingress', 'Egress'])
    })
  }

  test('it runs before the other pod, ends by itself, and its log stays', async () => {
    const { doctor, testPod } = await renderObjects('aks')
    const annotations = doctor.metadata?.annotations ?? {}
    assert.equal(annotations['helm.sh/hook'], 'test')
    assert.ok(
      Number(annotations['helm.sh/hook-weight']) < Number(testPod.metadata?.annotations?.['helm.sh/hook-weight'] ?? 0),
    )
    assert.equal(annotations['helm.sh/hook-delete-policy'], 'before-hook-creation')
    assert.equal(doctor.spec?.restartPolicy, 'Never')
    // More than the two minutes after which the doctor ends by itself.
    assert.ok((doctor.spec?.activeDeadlineSeconds ?? 0) > 120)
  })
})
