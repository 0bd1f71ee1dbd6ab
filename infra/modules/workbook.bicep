// A workbook over the audit log: who gets which tokens, what fails and why, what is denied.

@description('Region.')
param location string

@description('Title of the workbook.')
param title string

@description('Tags.')
param tags object

@description('Name of the broker\'s app.')
param appName string

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, title)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: title
    category: 'workbook'
    sourceId: workspaceId
    serializedData: replace(string(loadJsonContent('workbook.json')), '<app>', appName)
  }
}
