{{- /* The attendees' names, as JSON: {"users": […]}. */}}
{{- define "class.users" -}}
{{- $users := list }}
{{- range untilStep 1 (int (add1 .Values.attendees)) 1 }}{{ $users = append $users (printf "user%d" .) }}{{ end }}
{{- dict "users" $users | toJson }}
{{- end }}

{{- /* "yes" where OpenShift AI is of version 3, which has another API for itself than version 2. */}}
{{- define "class.three" -}}
{{- $found := .Capabilities.APIVersions.Has "datasciencecluster.opendatahub.io/v2" }}
{{- $version := int .Values.openshift_ai }}
{{- if or (eq $version 3) (and (eq $version 0) $found) }}yes{{ end }}
{{- end }}

{{- define "class.restricted" -}}
allowPrivilegeEscalation: false
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}
