import type { Environment } from '../config/environment.ts'

/** Commands of the platform on which the doctor runs. They have its names where it sets them, and words in capitals elsewhere. */
export interface Platform {
  readonly kind: 'container-apps' | 'kubernetes' | 'unknown'
  /** Sets a variable of the broker. */
  readonly setVariable: (name: string) => string
  /** Starts this replica again. */
  readonly restart: string
  /** The options of Azure CLI that name a container app. */
  readonly app: string
}

/** Recognises the platform by the variables that it sets in each container. */
export function platformOf(environment: Environment): Platform {
  const {
    CONTAINER_APP_NAME: app = 'APP',
    CONTAINER_APP_REVISION: revision = 'REVISION',
    KUBERNETES_SERVICE_HOST: cluster,
  } = environment
  const named = `--name ${app} --resource-group GROUP`
  if (environment['CONTAINER_APP_NAME'] !== undefined) {
    return {
      kind: 'container-apps',
      app: named,
      setVariable: name => `az containerapp update ${named} --set-env-vars ${name}=VALUE`,
      restart: `az containerapp revision restart ${named} --revision ${revision}`,
    }
  }
  if (cluster !== undefined) {
    return {
      kind: 'kubernetes',
      app: named,
      setVariable: name => `set ${name} by the values of the chart (docs/kubernetes.md)`,
      restart: 'kubectl rollout restart deployment/token-broker',
    }
  }
  return {
    kind: 'unknown',
    app: named,
    setVariable: name => `set ${name} in the environment of the broker (docs/configuration.md)`,
    restart: 'restart the replica',
  }
}
