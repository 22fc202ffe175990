{{- define "mrse.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Alerts go by the job's name, which the monitors take from this label: it is the same for every release. */}}
{{- define "mrse.selector" -}}
app.kubernetes.io/name: mrse-recall
app.kubernetes.io/instance: {{ include "mrse.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "mrse.labels" -}}
{{ include "mrse.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "mrse.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- /* A variable of an environment with this prefix is a setting, so no links of services may be among them. */}}
{{- define "mrse.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mrse.bounds" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "mrse.ours" -}}
image: {{ include "mrse.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- include "mrse.bounds" . | nindent 2 }}
{{- end }}

{{- define "mrse.rclone" -}}
image: {{ .Values.data.objectStorage.image }}
securityContext: {{- include "mrse.bounds" . | nindent 2 }}
env:
  - {name: RCLONE_CONFIG, value: /etc/rclone/rclone.conf}
  - {name: RCLONE_CACHE_DIR, value: /tmp/rclone}
  - {name: ROOT, value: {{ .Values.data.objectStorage.root | quote }}}
{{- end }}

{{- /* Variables of every command of ours: secrets in files, then what the values add. */}}
{{- define "mrse.env" -}}
{{- range $variable, $key := .Values.secrets.files }}
- {name: {{ $variable }}_FILE, value: /etc/mrse/secrets/{{ $key }}}
{{- end }}
{{- range $variable, $value := .Values.env }}
- {name: {{ $variable }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "mrse.secretMounts" -}}
{{- with .Values.secrets.existing }}
- {name: secrets, mountPath: /etc/mrse/secrets, readOnly: true}
{{- end }}
{{- end }}

{{- define "mrse.secretVolumes" -}}
{{- with .Values.secrets.existing }}
- name: secrets
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- /* Brings a release, or the part of it that is named, to /data before anything else runs. What lies there of another,
where a node began again, is taken away. */}}
{{- define "mrse.fetch" -}}
{{- $part := .part }}
{{- with .root }}
{{- if eq .Values.data.source "objectStorage" }}
- name: fetch
  {{- include "mrse.rclone" . | nindent 2 }}
    - {name: RELEASE, value: {{ .Values.data.objectStorage.release | quote }}}
  command:
    - sh
    - -euc
    - |
      release=${RELEASE:-$(rclone cat "$ROOT/CURRENT")}
      echo "release $release"
      rclone sync --transfers 8 "$ROOT/releases/$release{{ with $part }}/{{ . }}{{ end }}" "/data{{ with $part }}/{{ . }}{{ end }}"
  volumeMounts:
    - {name: data, mountPath: /data}
    - {name: rclone, mountPath: /etc/rclone, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
{{- end }}

{{- define "mrse.dataVolumes" -}}
- name: tmp
  emptyDir: {}
{{- if eq .Values.data.source "objectStorage" }}
- name: data
  emptyDir: {sizeLimit: {{ .Values.data.objectStorage.size }}}
- name: rclone
  secret: {secretName: {{ .Values.data.objectStorage.configSecret }}, defaultMode: 0440}
{{- else }}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.data.volume.claim }}}
{{- end }}
{{- end }}
