import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment'
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap'
import type { IPod } from 'kubernetes-models/v1/Pod'
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec'
import type { IService } from 'kubernetes-models/v1/Service'
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { type Manifest, parseManifests, render } from './helm.ts'
import type { IServiceMonitor } from './service-monitor.ts'

interface Kinds {
  readonly Deployment: IDeployment
  readonly HorizontalPodAutoscaler: IHorizontalPodAutoscaler
  readonly NetworkPolicy: INetworkPolicy
  readonly PodDisruptionBudget: IPodDisruptionBudget
  readonly ConfigMap: IConfigMap
  readonly Pod: IPod
  readonly Service: IService
  readonly ServiceAccount: IServiceAccount
  readonly ServiceMonitor: IServiceMonitor
}

/** A rendered chart, by kind. In types.test.ts the compiler checks that the objects have these types. */
export interface Rendered {
  readonly all: readonly Manifest[]
  /** Every object of a kind. */
  readonly of: <K extends keyof Kinds>(kind: K) => readonly Kinds[K][]
  /** The only object of a kind; with a name, the only one with that name. */
  readonly one: <K extends keyof Kinds>(kind: K, name?: string) => Kinds[K]
  /** The two pods of `helm test`: the one that runs the doctor, and the one that sends requests. */
  readonly doctor: IPod
  readonly testPod: IPod
  /** The pod template of the Deployment. */
  readonly pod: IPodSpec
  /** The environment of the broker's container. A variable whose value is from another object is an empty string. */
  readonly env: Readonly<Record<string, string>>
}

/** Renders a value file. @param args more of `helm template` */
export async function renderObjects(name: string, ...args: readonly string[]): Promise<Rendered> {
  const all = parseManifests(await render(name, ...args))
  const of = <K extends keyof Kinds>(kind: K) => all.filter(object => object.kind === kind) as unknown as Kinds[K][]
  const one = <K extends keyof Kinds>(kind: K, called?: string): Kinds[K] => {
    const found = of(kind).filter(({ metadata }) => called === undefined || metadata?.name === called)
    const [only] = found
    if (only === undefined || found.length > 1) throw new Error(`${found.length} objects are ${kind} ${called ?? ''}`)
    return only
  }
  const pod = one('Deployment').spec?.template.spec
  if (pod === undefined) throw new Error('the Deployment has no pod')
  const env = Object.fromEntries(pod.containers[0]?.env?.map(({ name: key, value = '' }) => [key, value]) ?? [])
  const called = one('Deployment').metadata?.name
  const [doctor, testPod] = [one('Pod', `${called}-doctor`), one('Pod', `${called}-test`)]
  return { all, of, one, doctor, testPod, pod, env }
}

/** Whether an object with these labels is selected. */
export const selects = (
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean =>
  selector !== undefined &&
  Object.keys(selector).length > 0 &&
  Object.entries(selector).every(([key, value]) => labels?.[key] === value)
