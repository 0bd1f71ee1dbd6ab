import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec'
import { valueFiles, withHelm } from './helm.ts'
import { renderObjects, selects } from './objects.ts'

type Container = IPodSpec['containers'][number]

/** The "restricted" Pod Security Standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/). */
const restrictedVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
])

function checkPod(pod: IPodSpec): void {
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC', 'initContainers', 'ephemeralContainers'] as const) {
    assert.equal(pod[key], undefined, key)
  }
  const { runAsNonRoot, runAsUser, runAsGroup, seccompProfile, sysctls } = pod.securityContext ?? {}
  assert.deepEqual(
    { runAsNonRoot, runAsUser, runAsGroup },
    { runAsNonRoot: true, runAsUser: 10_001, runAsGroup: 10_001 },
  )
  assert.deepEqual(seccompProfile, { type: 'RuntimeDefault' })
  assert.equal(sysctls, undefined)
  for (const volume of pod.volumes ?? []) {
    const kinds = Object.keys(volume).filter(key => key !== 'name')
    assert.ok(
      kinds.every(kind => restrictedVolumes.has(kind)),
      `volume ${volume.name}: ${kinds.join()}`,
    )
  }
  for (const container of pod.containers) checkContainer(container)
}

function checkContainer({ securityContext, ports, volumeMounts, lifecycle }: Container): void {
  assert.deepEqual(securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  assert.ok((ports ?? []).every(({ hostPort }) => hostPort === undefined))
  assert.ok((volumeMounts ?? []).every(({ readOnly, subPath }) => readOnly === true && subPath === undefined))
  assert.equal(lifecycle, undefined)
}

describe('the objects of the chart have no more rights than they need', withHelm, () => {
  for (const name of valueFiles) {
    test(`${name}.yaml: every pod passes the restricted Pod Security Standard`, async () => {
      const { pod, testPod, doctor } = await renderObjects(name)
      for (const spec of [pod, testPod.spec, doctor.spec]) {
        assert.ok(spec)
        checkPod(spec)
        assert.equal(spec.automountServiceAccountToken, false)
        assert.equal(spec.enableServiceLinks, false)
      }
      assert.equal(testPod.spec?.serviceAccountName, undefined, 'the test must not have the identity of the broker')
    })
  }

  test('no object grants a right in the cluster, and none is a Secret', async () => {
    const kinds = new Set<string>()
    for (const name of valueFiles) for (const { kind } of (await renderObjects(name)).all) kinds.add(kind)
    assert.deepEqual([...kinds].toSorted(), [
      'ConfigMap',
      'Deployment',
      'HorizontalPodAutoscaler',
      'NetworkPolicy',
      'Pod',
      'PodDisruptionBudget',
      'Service',
      'ServiceAccount',
      'ServiceMonitor',
    ])
  })

  test('pods of the service account get no token by default', async () => {
    assert.equal((await renderObjects('aks')).one('ServiceAccount').automountServiceAccountToken, false)
  })

  test('the pod of `helm test` gets the CA of the TLS Secret, never the key', async () => {
    const volumes = (await renderObjects('aks')).testPod.spec?.volumes
    assert.deepEqual(
      volumes?.map(({ secret }) => [secret?.items?.map(({ key }) => key), secret?.optional]),
      [[['ca.crt'], true]],
    )
  })

  test('private keys and tokens are mounted for the group only', async () => {
    const { pod } = await renderObjects('projected')
    const modes = pod.volumes?.flatMap(({ secret, projected }) => secret?.defaultMode ?? projected?.defaultMode ?? [])
    assert.deepEqual(modes, [0o440, 0o440])
    assert.equal(pod.securityContext?.fsGroup, pod.securityContext?.runAsGroup)
  })
})

describe('the network policy', withHelm, () => {
  for (const name of valueFiles) {
    test(`${name}.yaml: it selects the broker's pods, for both directions, and no rule admits every peer`, async () => {
      const { one, of } = await renderObjects(name)
      const deployment = one('Deployment')
      const { spec } = one('NetworkPolicy', deployment.metadata?.name)
      assert.ok(selects(spec?.podSelector?.matchLabels, deployment.spec?.template.metadata?.labels))
      for (const policy of of('NetworkPolicy')) {
        assert.deepEqual(policy.spec?.policyTypes, ['Ingress', 'Egress'])
        for (const { from = [], ports = [] } of policy.spec?.ingress ?? []) {
          assert.notEqual(from.length, 0, 'an empty `from` admits every peer')
          assert.equal(ports.length, 1)
        }
      }
    })

    test(`${name}.yaml: the pod of helm test reaches both ports, whichever other peers are admitted`, async () => {
      const { one, testPod: pod } = await renderObjects(name)
      const broker = one('Deployment').metadata?.name
      const ingress = one('NetworkPolicy', broker).spec?.ingress ?? []
      const ports = ingress
        .filter(({ from }) => from?.some(({ podSelector }) => selects(podSelector?.matchLabels, pod.metadata?.labels)))
        .flatMap(rule => rule.ports?.map(({ port }) => port))
      assert.deepEqual(ports, [8080, 9090])
      const own = one('NetworkPolicy', `${broker}-test`)
      assert.ok(selects(own.spec?.podSelector?.matchLabels, pod.metadata?.labels))
      assert.equal(own.spec?.ingress, undefined)
    })
  }

  test('the callers do not reach the management port, nor Prometheus the main one', async () => {
    const { one } = await renderObjects('mesh')
    const [main, management] = one('NetworkPolicy', 'token-broker').spec?.ingress ?? []
    assert.deepEqual(main?.from?.slice(1), [{ namespaceSelector: {} }])
    assert.deepEqual(
      management?.from?.slice(1).map(({ podSelector }) => podSelector?.matchLabels),
      [{ 'app.kubernetes.io/name': 'prometheus' }],
    )
  })

  test("by default only this namespace's pods reach the main port, and no peer reaches the management port", async () => {
    const { one } = await renderObjects('minimal')
    const [main, management] = one('NetworkPolicy', 'token-broker').spec?.ingress ?? []
    assert.deepEqual(main?.from?.slice(1), [{ podSelector: {} }])
    assert.deepEqual(management?.from?.slice(1), [])
  })

  test('by default the broker reaches only DNS and port 443', async () => {
    const { one } = await renderObjects('minimal')
    const egress = one('NetworkPolicy', 'token-broker').spec?.egress ?? []
    assert.deepEqual(
      egress.flatMap(({ ports }) => ports?.map(({ protocol, port }) => `${protocol} ${port}`)),
      ['UDP 53', 'TCP 53', 'TCP 443'],
    )
  })
})
