import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Manifest, parseManifests, render, valueFiles, withHelm } from './helm.ts'
import { typeCheck } from './type-check.ts'

/** A mistake in a rendered text, and the error that the compiler must report. */
const mistakes = [
  {
    what: 'a misspelt field deep in the pod',
    from: 'readOnlyRootFilesystem:',
    to: 'readOnlyRootFileSystem:',
    says: /"readOnlyRootFileSystem"' does not exist in type 'ISecurityContext'/,
  },
  {
    what: 'a field at the wrong level',
    from: 'terminationGracePeriodSeconds: 21',
    to: 'maxSurge: 1',
    says: /"maxSurge"' does not exist in type 'IPodSpec'/,
  },
  {
    what: 'an unknown field of an item in a list',
    from: 'containerPort: 8080',
    to: 'port: 8080',
    says: /"port"' does not exist in type 'IContainerPort'/,
  },
  {
    what: 'a string in place of a number',
    from: 'periodSeconds: 10',
    to: 'periodSeconds: "10"',
    says: /'string' is not assignable to type 'number'/,
  },
  {
    what: 'a number in place of a string',
    from: 'value: "8080"',
    to: 'value: 8080',
    says: /'number' is not assignable to type 'string'/,
  },
  {
    what: 'a misspelt field of the PodDisruptionBudget',
    from: 'unhealthyPodEvictionPolicy:',
    to: 'unhealthyPodEvictionPolicies:',
    says: /'IPodDisruptionBudgetSpec'/,
  },
  {
    what: 'a misspelt field of the NetworkPolicy',
    from: 'policyTypes:',
    to: 'policyType:',
    says: /'INetworkPolicySpec'/,
  },
  {
    what: 'a misspelt field of the Service',
    from: 'publishNotReadyAddresses:',
    to: 'publishNotReadyAddress:',
    says: /'IServiceSpec'/,
  },
  { what: 'a misspelt field of the ServiceMonitor', from: 'jobLabel:', to: 'joblabel:', says: /"joblabel"'/ },
  { what: 'a misspelt field of the PrometheusRule', from: 'annotations:', to: 'annotation:', says: /"annotation"'/ },
] as const

describe('the rendered objects have the types of Kubernetes', withHelm, async () => {
  const sets = new Map<string, readonly Manifest[]>()
  for (const name of valueFiles) sets.set(name, parseManifests(await render(name)))
  const monitored = 'serviceMonitor.enabled=true,prometheusRule.enabled=true,networkPolicy.enabled=false'
  const text = await render('minimal', '--set', monitored)
  const all = `${text}\n${await render('minimal')}`
  for (const { what, from, to } of mistakes) {
    assert.ok(all.includes(from), `the rendered text has no "${from}"`)
    sets.set(what, parseManifests(all.replace(from, to)))
  }
  const complaints = await typeCheck(sets)

  for (const name of valueFiles) {
    test(`with ${name}.yaml`, () => assert.deepEqual(complaints.get(name), []))
  }
  for (const { what, says } of mistakes) {
    test(`${what} is found`, () => {
      const found = complaints.get(what) ?? []
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found.join(), says)
    })
  }
})
