# A stand-in for MinIO where no registry can be reached: moto's server, whose objects outlive a kill. For docker/test.sh
# alone. BASE_IMAGE is the project's own image.
ARG BASE_IMAGE
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
USER 0:0
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    pip install --disable-pip-version-check -c /opt/spotdiff/constraints.txt "moto[s3,server]"
COPY docker/standins/s3.py /usr/local/lib/s3.py
USER 1000:1000
HEALTHCHECK NONE
ENTRYPOINT ["tini", "-g", "--", "python3", "/usr/local/lib/s3.py"]
