import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refusal, render, withHelm } from './helm.ts'

/** `--set` for minimal.yaml, and what Helm's refusal must say: the key above all. */
const refused = [
  { what: 'a key that does not exist', set: 'replicaCount=3', says: /at '': additional properties 'replicaCount'/ },
  { what: 'a misspelt key', set: 'tls.secretname=x', says: /at '\/tls': additional properties 'secretname'/ },
  { what: 'a misspelt setting', set: 'settings.drain=5', says: /at '\/settings': additional properties 'drain'/ },
  {
    what: 'a misspelt nested key',
    set: 'identity.projectedToken.audiences=x',
    says: /at '\/identity\/projectedToken': additional properties 'audiences'/,
  },
  {
    what: 'a misspelt network peer, which would admit more than was meant',
    set: 'networkPolicy.callers[0].namespaceSelectors.matchLabels.a=b',
    says: /at '\/networkPolicy\/callers\/0': additional properties 'namespaceSelectors'/,
  },
  {
    what: 'an empty network peer',
    set: 'networkPolicy.management[0]=null',
    says: /at '\/networkPolicy\/management\/0'/,
  },
  {
    what: 'no setting of who terminates TLS',
    set: 'tls.secretName=',
    says: /- tls: .*set tls\.secretName, or tls\.behindP/,
  },
  {
    what: 'two settings of who terminates TLS',
    set: 'tls.behindProxy=true',
    says: /- tls\.secretName, tls\.behindProxy: /,
  },
  {
    what: 'proxies that may forward certificates, in no header',
    set: 'tls.clientCaConfigMap=x,settings.trustedProxies[0]=10.0.0.7',
    says: /- settings\.clientCertHeader: is required with settings\.trustedProxies and tls\.clientCaConfigMap/,
  },
  {
    what: 'a header for certificates of which none is accepted',
    set: 'settings.clientCertHeader=client-cert',
    says: /- settings\.clientCertHeader: has no effect without/,
  },
  {
    what: 'authorities of certificates that reach no broker',
    set: 'tls.secretName=,tls.behindProxy=true,tls.clientCaConfigMap=x',
    says: /- tls\.clientCaConfigMap: has no effect with tls\.behindProxy/,
  },
  { what: 'an unknown header', set: 'settings.clientCertHeader=x-cert', says: /at '\/settings\/clientCertHeader'/ },
  { what: 'a proxy by its name', set: 'settings.trustedProxies[0]=proxy', says: /at '\/settings\/trustedProxies\/0'/ },
  { what: 'no policy', set: 'policy=', says: /- policy: is required/ },
  { what: 'two policies', set: 'existingPolicyConfigMap=x', says: /- policy, existingPolicyConfigMap: / },
  { what: 'a policy that is not YAML', set: 'policy=[', says: /- policy: must be a YAML mapping/ },
  { what: 'a policy that is a list', set: 'policy=- a', says: /- policy: must be a YAML mapping/ },
  { what: 'no identity', set: 'identity.clientId=', says: /- identity\.clientId: is required/ },
  { what: 'an identity that is not a GUID', set: 'identity.clientId=me', says: /at '\/identity\/clientId'/ },
  {
    what: "a managed identity's client id instead of the app registration's",
    set: 'identity.clientId=6f3c0b1e-0000-4000-8000-00000000000a',
    says: /- identity\.clientId: must be one of the policy's applications .*; got 6f3c0b1e-0000-4000-8000-00000000000a/,
  },
  {
    what: 'a projected token without a tenant',
    set: 'identity.projectedToken.enabled=true',
    says: /- identity\.tenantId: is required with identity\.projectedToken/,
  },
  {
    what: "a shorter life of the token than Kubernetes' minimum",
    set: 'identity.projectedToken.expirationSeconds=599',
    says: /at '\/identity\/projectedToken\/expirationSeconds': minimum/,
  },
  {
    what: 'Redis without a key ring',
    set: 'redis.url=rediss://r:6379',
    says: /- redis\.keyRingSecretName: is required/,
  },
  {
    what: 'a key ring without Redis',
    set: 'redis.keyRingSecretName=k',
    says: /- redis\.keyRingSecretName: has no effect/,
  },
  {
    what: 'a password of Redis in its URL',
    set: 'redis.url=rediss://:secret@r:6379,redis.keyRingSecretName=k',
    says: /at '\/redis\/url'/,
  },
  {
    what: 'a password for Redis that is missing',
    set: 'redis.url=rediss://r:6379,redis.keyRingSecretName=k,redis.auth=password',
    says: /- redis\.passwordSecretName: is required with redis\.auth=password/,
  },
  {
    what: 'a password for Redis that would not be used',
    set: 'redis.url=rediss://r:6379,redis.keyRingSecretName=k,redis.passwordSecretName=p',
    says: /- redis\.passwordSecretName: has no effect without redis\.auth=password/,
  },
  { what: 'Redis without TLS', set: 'redis.url=redis://r:6379,redis.keyRingSecretName=k', says: /at '\/redis\/url'/ },
  {
    what: 'a user of Redis that would not be used',
    set: 'redis.url=rediss://r:6379,redis.keyRingSecretName=k,redis.username=u',
    says: /- redis\.username: has no effect without redis\.auth=password/,
  },
  {
    what: 'a managed identity for Redis, which pods do not have',
    set: 'redis.url=rediss://r:6379,redis.keyRingSecretName=k,redis.auth=entra',
    says: /at '\/redis\/auth'/,
  },
  {
    what: 'an existing service account without a name',
    set: 'serviceAccount.create=false',
    says: /- serviceAccount\.name: is required/,
  },
  { what: 'a setting beyond its range', set: 'settings.drainSeconds=601', says: /at '\/settings\/drainSeconds'/ },
  { what: 'a setting that is not a number', set: 'settings.drainSeconds=ten', says: /at '\/settings\/drainSeconds'/ },
  { what: 'an unknown choice', set: 'settings.audit=all', says: /at '\/settings\/audit'/ },
  { what: 'plain http to Entra', set: 'settings.authority=http://x', says: /at '\/settings\/authority'/ },
  {
    what: 'a variable that the chart sets, which would make the grace period wrong',
    set: 'extraEnv[0].name=BROKER_DRAIN_SECONDS,extraEnv[0].value=1s',
    says: /- extraEnv: BROKER_DRAIN_SECONDS is set by the chart/,
  },
  {
    what: 'an annotation that the chart sets: a changed policy would create no new pods',
    set: 'podAnnotations.checksum/policy=x',
    says: /- podAnnotations: checksum\/policy is set by the chart/,
  },
  {
    what: 'a pod label with which pods would not belong to the Deployment',
    set: 'podLabels.app\\.kubernetes\\.io/name=x',
    says: /- podLabels: app\.kubernetes\.io\/name is set by the chart/,
  },
  {
    what: 'a minimum of replicas above the maximum',
    set: 'autoscaling.enabled=true,autoscaling.minReplicas=7',
    says: /- autos/,
  },
  {
    what: 'autoscaling without a CPU request',
    set: 'autoscaling.enabled=true,resources.requests.cpu=null',
    says: /- resources\.requests\.cpu: is required/,
  },
  {
    what: 'a budget that would block every drain',
    set: 'podDisruptionBudget.maxUnavailable=0',
    says: /at '\/podDisruptionBudget\/maxUnavailable'/,
  },
  {
    what: 'a ServiceMonitor without a peer that may scrape it',
    set: 'serviceMonitor.enabled=true',
    says: /- networkPolicy\.management: is required with serviceMonitor/,
  },
  {
    what: 'a traffic policy that the type of Service does not have',
    set: 'service.externalTrafficPolicy=Local',
    says: /- service\.externalTrafficPolicy: /,
  },
  { what: 'a name that no Service may have', set: 'fullnameOverride=broker.internal', says: /at '\/fullnameOverride'/ },
  { what: 'an invalid digest', set: 'image.digest=abc', says: /at '\/image\/digest'/ },
] as const

/** Unusual values that are accepted. */
const accepted = [
  { what: "Helm's own `global` for subcharts", set: 'global.region=eu' },
  { what: 'a policy that is delivered by other means', set: 'policy=,existingPolicyConfigMap=x' },
  { what: 'no limits', set: 'resources=null' },
  { what: 'a zero where zero is in the range', set: 'settings.minRemainingSeconds=0,settings.drainSeconds=0' },
] as const

describe('values that cannot work are refused, each with its key', withHelm, () => {
  for (const { what, set, says } of refused) {
    test(what, async () => assert.match(await refusal('minimal', '--set', set), says))
  }

  test('a policy that is an object instead of a string', async () =>
    assert.match(
      await refusal('minimal', '--set-json', 'policy={"rules":[]}'),
      /at '\/policy': got object, want string/,
    ))

  test('everything that is missing is reported at once', async () => {
    const said = await refusal('minimal', '--set', 'policy=,tls.secretName=,identity.clientId=')
    for (const key of ['policy', 'tls', 'identity.clientId']) assert.ok(said.includes(`  - ${key}: `), said)
  })

  test('a Kubernetes that is too old', async () => {
    const said = await refusal('minimal', '--kube-version', '1.30.9')
    assert.match(said, /kubeVersion: >=1\.31\.0-0 .* incompatible with Kubernetes v1\.30\.9/)
  })

  for (const { what, set } of accepted) {
    test(`but not ${what}`, async () => assert.ok(await render('minimal', '--set', set)))
  }
})
