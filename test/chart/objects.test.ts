import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readConfig } from '../../src/config/config.ts'
import { valueFiles, withHelm } from './helm.ts'
import { namesRead } from '../support/settings.ts'
import { renderObjects, selects, type Rendered } from './objects.ts'

/** The variables that the webhook of AKS workload identity adds to a pod with its label. */
const webhook = (pods: Rendered): Record<string, string> =>
  pods.one('Deployment').spec?.template.metadata?.labels?.['azure.workload.identity/use'] === 'true'
    ? {
        AZURE_CLIENT_ID: '6f3c0b1e-0000-4000-8000-000000000001',
        AZURE_TENANT_ID: '0f0e0d0c-0000-4000-8000-000000000004',
        AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.com/',
        AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
      }
    : {}

describe('the broker is configured by the chart', withHelm, () => {
  for (const name of valueFiles) {
    test(`${name}.yaml: the broker accepts the environment, and ignores none of it`, async () => {
      const rendered = await renderObjects(name)
      const config = readConfig({ ...rendered.env, ...webhook(rendered) })
      assert.deepEqual(config.warnings, [])
      assert.equal(config.host, '0.0.0.0')
      assert.deepEqual(config.management, { host: '0.0.0.0', port: 9090 })
      assert.equal(config.tls === undefined, name === 'mesh')
      assert.equal(config.identity.source, 'workload-identity')
    })

    test(`${name}.yaml: every variable is one that the broker or Node reads`, async () => {
      const known = new Set(namesRead())
      const { env } = await renderObjects(name)
      assert.deepEqual(
        Object.keys(env).filter(key => !known.has(key)),
        name === 'projected' ? ['NODE_EXTRA_CA_CERTS', 'POD_NAME'] : [],
      )
    })

    test(`${name}.yaml: every file that a variable names is on a mounted volume`, async () => {
      const { env, pod } = await renderObjects(name)
      const mounts = pod.containers[0]?.volumeMounts ?? []
      const files = Object.entries(env).filter(([key]) => /_FILE$|_CERTS$/.test(key))
      assert.notEqual(files.length, 0)
      for (const [key, file] of files) {
        assert.ok(
          mounts.some(({ mountPath }) => file.startsWith(`${mountPath}/`)),
          `${key}=${file}`,
        )
      }
      const volumes = pod.volumes?.map(volume => volume.name)
      assert.deepEqual(mounts.map(mount => mount.name).toSorted(), volumes?.toSorted())
    })
  }

  test('workload identity: the pod has the label that the webhook requires, the service account the annotations', async () => {
    const { one, pod, doctor, testPod } = await renderObjects('aks')
    assert.equal(one('Deployment').spec?.template.metadata?.labels?.['azure.workload.identity/use'], 'true')
    assert.equal(pod.serviceAccountName, one('ServiceAccount').metadata?.name)
    assert.deepEqual(one('ServiceAccount').metadata?.annotations, {
      'azure.workload.identity/client-id': '6F3C0B1E-0000-4000-8000-000000000001',
      'azure.workload.identity/tenant-id': '0f0e0d0c-0000-4000-8000-000000000004',
      'azure.workload.identity/service-account-token-expiration': '7200',
    })
    assert.equal(testPod.metadata?.labels?.['azure.workload.identity/use'], undefined)
    assert.equal(doctor.metadata?.labels?.['azure.workload.identity/use'], 'true')
  })

  test('a projected token has the audience of the cloud, and the webhook is not used', async () => {
    const { one, pod, of, env } = await renderObjects('projected')
    const source = pod.volumes?.find(({ name }) => name === 'identity')?.projected?.sources?.[0]?.serviceAccountToken
    const audience = 'api://AzureADTokenExchangeUSGov'
    assert.deepEqual(source, { path: 'token', audience, expirationSeconds: 7200 })
    assert.equal(one('Deployment').spec?.template.metadata?.labels?.['azure.workload.identity/use'], undefined)
    assert.deepEqual([of('ServiceAccount'), pod.serviceAccountName], [[], 'federated'])
    assert.equal(env['AZURE_TENANT_ID'], '0f0e0d0c-0000-4000-8000-000000000004')
  })

  test('large numbers are not rendered in scientific notation', async () => {
    const { env } = await renderObjects('minimal', '--set-json', 'settings.cacheMaxEntries=10000000')
    assert.equal(env['BROKER_CACHE_MAX_ENTRIES'], '10000000')
  })

  for (const [drain, upstream, least] of [
    [10, 5_000, 16],
    [0, 100, 2],
    [30, 7_500, 39],
    [600, 60_000, 661],
  ] as const) {
    test(`a drain of ${drain} s and an exchange of ${upstream} ms end before the kubelet kills the pod`, async () => {
      const set = `settings.drainSeconds=${drain},settings.upstreamTimeoutMs=${upstream}`
      const { pod } = await renderObjects('minimal', '--set', set)
      assert.equal(pod.terminationGracePeriodSeconds, least + 5)
    })
  }
})

describe('the policy is mounted unchanged', withHelm, () => {
  for (const name of valueFiles.filter(file => file !== 'mesh')) {
    test(`${name}.yaml: it is valid, and the pods have the number that the audit log has`, async () => {
      const { one } = await renderObjects(name)
      const text = one('ConfigMap').data?.['policy.yaml'] ?? ''
      const { version, warnings } = parsePolicy(text)
      assert.deepEqual(warnings, [])
      assert.equal(one('Deployment').spec?.template.metadata?.annotations?.['checksum/policy'], version)
    })
  }

  for (const [what, text] of [
    ['comments and blank lines', '# first\n\nrules: []\n  # last\n'],
    ['no line end', 'rules: []'],
    ['several line ends', 'rules: []\n\n\n'],
    ['leading blanks', '  rules: []\n  tenants: {}\n'],
    ['a template', 'rules: [{ name: "{{ .Values.policy }}" }]\n'],
    ['a tab and an umlaut', 'rules: [] # \tä\n'],
  ] as const) {
    test(`${what} are kept byte for byte`, async () => {
      const { one } = await renderObjects('minimal', '--set-json', `policy=${JSON.stringify(text)}`)
      assert.equal(one('ConfigMap').data?.['policy.yaml'], text)
      const checksum = one('Deployment').spec?.template.metadata?.annotations?.['checksum/policy']
      assert.equal(checksum, createHash('sha256').update(text).digest('hex'))
    })
  }

  test('an existing ConfigMap is mounted, and has no checksum', async () => {
    const { pod, of, one } = await renderObjects('mesh')
    assert.deepEqual(of('ConfigMap'), [])
    assert.equal(pod.volumes?.find(({ name }) => name === 'policy')?.configMap?.name, 'delivered-policy')
    assert.equal(one('Deployment').spec?.template.metadata?.annotations?.['checksum/policy'], undefined)
  })
})

describe('the objects refer to each other correctly', withHelm, () => {
  for (const name of valueFiles) {
    test(`${name}.yaml: every selector finds the broker's pods, and not the pod of helm test`, async () => {
      const { testPod, doctor, one, of } = await renderObjects(name)
      const labels = one('Deployment').spec?.template.metadata?.labels
      const selectors = [
        one('Deployment').spec?.selector.matchLabels,
        ...of('Service').map(({ spec }) => spec?.selector),
        ...of('PodDisruptionBudget').map(({ spec }) => spec?.selector?.matchLabels),
        ...(one('Deployment').spec?.template.spec?.topologySpreadConstraints ?? []).map(
          ({ labelSelector }) => labelSelector?.matchLabels,
        ),
      ]
      for (const selector of selectors) {
        assert.ok(selects(selector, labels))
        for (const each of [testPod, doctor]) assert.ok(!selects(selector, each.metadata?.labels))
      }
    })

    test(`${name}.yaml: Services and probes use ports that the container has`, async () => {
      const { pod, of } = await renderObjects(name)
      const [container] = pod.containers
      const ports = container?.ports?.map(port => port.name)
      const scheme = name === 'mesh' ? 'http' : 'https'
      assert.deepEqual(ports, [scheme, 'management'])
      const targets = of('Service').map(({ spec }) => spec?.ports?.[0]?.targetPort)
      assert.deepEqual(targets, [scheme, 'management'])
      const probes = [container?.startupProbe, container?.livenessProbe, container?.readinessProbe]
      assert.deepEqual(
        probes.map(probe => probe?.httpGet),
        ['/livez', '/livez', '/readyz'].map(path => ({ path, port: 'management', scheme: scheme.toUpperCase() })),
      )
    })

    test(`${name}.yaml: objects and pods have their labels, each once`, async () => {
      const { all } = await renderObjects(name)
      const names = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      assert.equal(new Set(names).size, names.length)
      assert.ok(all.every(({ metadata }) => metadata.namespace === 'token-broker'))
      assert.ok(all.every(({ metadata }) => metadata.labels?.['app.kubernetes.io/instance'] === 'token-broker'))
    })
  }

  test('with autoscaling, only the autoscaler sets the number of replicas', async () => {
    const { one } = await renderObjects('mesh')
    assert.equal(one('Deployment').spec?.replicas, undefined)
    const { scaleTargetRef, minReplicas, metrics } = one('HorizontalPodAutoscaler').spec ?? {}
    assert.deepEqual(scaleTargetRef, { apiVersion: 'apps/v1', kind: 'Deployment', name: 'token-broker' })
    assert.equal(minReplicas, 3)
    const container = one('Deployment').spec?.template.spec?.containers[0]?.name
    assert.equal(metrics?.[0]?.containerResource?.container, container)
  })

  test('a single replica has no disruption budget, which would block every drain', async () => {
    assert.deepEqual((await renderObjects('projected')).of('PodDisruptionBudget'), [])
    assert.equal((await renderObjects('minimal')).of('PodDisruptionBudget').length, 1)
  })

  test('the ServiceMonitor finds the management Service alone, by the name in the certificate', async () => {
    const args = ['--set', 'serviceMonitor.enabled=true,networkPolicy.management[0].namespaceSelector.matchLabels.a=b']
    const { one, of } = await renderObjects('aks', ...args)
    const { selector, endpoints } = one('ServiceMonitor').spec
    const found = of('Service').filter(({ metadata }) => selects(selector.matchLabels, metadata?.labels))
    assert.deepEqual(
      found.map(({ metadata }) => metadata?.name),
      ['token-broker-management'],
    )
    assert.equal(endpoints[0]?.port, found[0]?.spec?.ports?.[0]?.name)
    assert.equal(endpoints[0]?.scheme, 'https')
    assert.deepEqual(endpoints[0]?.tlsConfig, {
      ca: { secret: { name: 'broker-certificate', key: 'ca.crt' } },
      serverName: 'broker.example.internal',
    })
  })

  test('only the main Service gets an external address', async () => {
    const types = (await renderObjects('aks')).of('Service').map(({ metadata, spec }) => [metadata?.name, spec?.type])
    assert.deepEqual(types, [
      ['token-broker', 'LoadBalancer'],
      ['token-broker-management', 'ClusterIP'],
    ])
  })

  test('the longest release name is within the limits of Kubernetes', async () => {
    const { all } = await renderObjects('minimal', '--set', `fullnameOverride=${'x'.repeat(80)}`)
    assert.ok(all.every(({ metadata }) => metadata.name.length <= 63))
  })

  test('a digest decides which image runs', async () => {
    const { pod, testPod, doctor } = await renderObjects('aks')
    const image = pod.containers[0]?.image
    assert.match(image ?? '', /^registry\.example\/token-broker:0\.1\.0@sha256:[0-9a-f]{64}$/)
    for (const each of [testPod, doctor]) assert.equal(each.spec?.containers[0]?.image, image)
  })

  test('Kubernetes expands no variable in the script of helm test', async () => {
    assert.doesNotMatch((await renderObjects('minimal')).testPod.spec?.containers[0]?.args?.[0] ?? '$(', /\$\(/)
  })
})
