// Alerts on the audit log, and on the app itself.

@description('Region.')
param location string

@description('Beginning of the names.')
param name string

@description('Tags.')
param tags object

@description('Name of the broker\'s app.')
param appName string

@description('Whether the app is deployed.')
param hasApp bool

@description('Resource id of the app; empty if it is not deployed.')
param appId string

@description('Least number of replicas of the app.')
param minReplicas int

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Addresses that get an email when an alert fires. Empty: alerts only appear in the portal.')
param emails string[]

// The lines of the audit log. A line of BROKER_AUDIT=summary stands for several requests.
var lines = 'ContainerAppConsoleLogs\n| where ContainerAppName == \'${appName}\'\n| extend line = parse_json(Log)\n| extend event = tostring(line.event), outcome = tostring(line.outcome), level = tostring(line.level), requests = coalesce(tolong(line.repeated), 1)\n'

var rules = [
  {
    name: 'needs-an-operator'
    description: 'Tokens fail for a reason that does not pass by itself. The lines token.failed and token.refresh_failed have a remedy.'
    severity: 1
    query: '${lines}| where event in (\'token.failed\', \'token.refresh_failed\') and level == \'error\''
    minutes: 5
    threshold: 0
  }
  {
    // The reasons that are left out concern one tenant, one agent identity or one caller.
    name: 'requests-fail'
    description: 'More than 5 % of the requests for tokens fail, and not because of the callers or of one tenant.'
    severity: 1
    query: '${lines}| summarize failed = sumif(requests, event == \'token.failed\' and outcome in (\'upstream_unavailable\', \'identity_unavailable\', \'issuer_unavailable\', \'federation_misconfigured\', \'upstream_invalid\', \'overloaded\', \'internal_error\') and tostring(line.reason) !in (\'cloud\', \'agent_identity\', \'agent_assertion\', \'min_expires_in\', \'queue\')), issued = sumif(requests, event == \'token.issued\')\n| where failed > 0.05 * (failed + issued) and failed > 5'
    minutes: 5
    threshold: 0
  }
  {
    name: 'refreshes-fail'
    description: 'Refreshes of cached tokens fail. Callers get the cached tokens until these expire.'
    severity: 2
    query: '${lines}| where event == \'token.refresh_failed\''
    minutes: 15
    threshold: 5
  }
  {
    name: 'policy-refused'
    description: 'The policy file is invalid. A replica that runs keeps the previous version; one that starts ends with exit code 3.'
    severity: 1
    query: '${lines}| where event == \'policy.refused\''
    minutes: 5
    threshold: 0
  }
  {
    name: 'denials'
    description: 'Many requests are denied, or come from callers that are not authenticated.'
    severity: 3
    query: '${lines}| where event in (\'token.denied\', \'caller.refused\', \'operation.denied\')\n| summarize denied = sum(requests)\n| where denied > 300'
    minutes: 15
    threshold: 0
  }
]

resource group 'Microsoft.Insights/actionGroups@2024-10-01-preview' = if (!empty(emails)) {
  name: name
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: take(name, 12)
    emailReceivers: [
      for (email, nth) in emails: { name: 'email-${nth}', emailAddress: email, useCommonAlertSchema: true }
    ]
  }
}

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: '${name}-${rule.name}'
    location: location
    tags: tags
    properties: {
      displayName: '${name}: ${rule.name}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT${rule.minutes}M'
      autoMitigate: true
      // The table has no columns yet when the first environment is being created.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: rule.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: empty(emails) ? [] : [group.id] }
    }
  }
]

var metrics = [
  {
    name: 'replicas-missing'
    description: 'Fewer replicas than the least number have run for five minutes.'
    severity: 1
    metric: 'Replicas'
    aggregation: 'Maximum'
    operator: 'LessThan'
    threshold: minReplicas
  }
  {
    name: 'restarts'
    description: 'Replicas restart. Their last log lines say why.'
    severity: 2
    metric: 'RestartCount'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 2
  }
]

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for metric in metrics: if (hasApp) {
    name: '${name}-${metric.name}'
    location: 'global'
    tags: tags
    properties: {
      description: metric.description
      severity: metric.severity
      enabled: true
      scopes: [appId]
      evaluationFrequency: 'PT1M'
      windowSize: 'PT5M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: metric.name
            metricNamespace: 'Microsoft.App/containerApps'
            metricName: metric.metric
            timeAggregation: metric.aggregation
            operator: metric.operator
            threshold: metric.threshold
          }
        ]
      }
      actions: empty(emails) ? [] : [{ actionGroupId: group.id }]
    }
  }
]
