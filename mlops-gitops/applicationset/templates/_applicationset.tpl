{{- /* The ApplicationSet of one attendee: user, cluster_domain, namespace and project are given. */}}
{{- define "toolings.applicationset" -}}
{{- $gitea := printf "https://gitea-gitea.%s/%s" .cluster_domain .user }}
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata:
  name: {{ .user }}-toolings
  namespace: {{ .namespace }}
spec:
  goTemplate: true
  goTemplateOptions: ["missingkey=error"]
  generators:
    - git:
        repoURL: {{ $gitea }}/mlops-gitops.git
        revision: main
        files:
          - path: toolings/**/config.yaml
  template:
    metadata:
      name: {{ .user }}-{{ `{{ .path.basename }}` }}
    spec:
      project: {{ .project }}
      sources:
        # The chart is of the repository jukebox, its values are the config.yaml itself.
        - repoURL: {{ $gitea }}/jukebox.git
          targetRevision: main
          path: {{ `"{{ .chart_path }}"` }}
          helm:
            releaseName: {{ `"{{ .path.basename }}"` }}
            valueFiles:
              - {{ `"$config/{{ .path.path }}/config.yaml"` }}
            parameters:
              - name: cluster_domain
                value: {{ .cluster_domain }}
        - repoURL: {{ $gitea }}/mlops-gitops.git
          targetRevision: main
          ref: config
      destination:
        server: https://kubernetes.default.svc
        namespace: {{ .user }}-toolings
      syncPolicy:
        automated: {prune: true, selfHeal: true}
        retry: {limit: 5}
{{- end }}
