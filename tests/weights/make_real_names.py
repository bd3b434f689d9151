"""Make real_names.json: names and shapes of the tensors in other projects' files, of small models.

    python -m tests.weights.make_real_names

The committed file was made with timm 1.0.31, transformers 5.24.0, torchvision 0.28.0, mmpretrain 1.2.0 and mmdet 3.3.0
under torch 2.13.0, and with torchvision 0.29.1 for its Mask R-CNN. Of models that are no Swin Transformer, the first
names are stored. Cases of libraries that are not installed stay as they are.
"""

import json
from pathlib import Path

from tests.weights import dense_peers

FILE = Path(__file__).parent / "real_names.json"
FIRST_NAMES = 60  # of a model that is no Swin Transformer

SWIN = {"embed_dim": 8, "depths": (2, 1), "num_heads": (1, 2), "window_size": 2}
TRANSFORMERS = {
    "image_size": 16,
    "patch_size": 2,
    "embed_dim": 8,
    "depths": [2, 1],
    "num_heads": [1, 2],
    "window_size": 2,
}


def timm_models():
    """Name of a case -> module."""
    import timm
    from timm.models.swin_transformer_v2 import SwinTransformerV2
    from timm.models.swin_transformer_v2_cr import SwinTransformerV2Cr

    small = {"img_size": 16, "patch_size": 2, "num_classes": 5, **SWIN}
    features = {**small, "features_only": True, "out_indices": (0, 1)}
    del features["num_classes"]
    return {
        "timm features_only": timm.create_model("swin_tiny_patch4_window7_224", **features),
        "timm Swin V2": SwinTransformerV2(**small),
        "timm Swin V2 CR": SwinTransformerV2Cr(**small),
        "timm ViT": timm.create_model("vit_tiny_patch16_224"),
        "timm BEiT": timm.create_model("beit_base_patch16_224", depth=1),
        "timm DINOv2": timm.create_model("vit_small_patch14_dinov2", depth=1),
        "timm ResNet": timm.create_model("resnet18"),
        "timm ConvNeXt": timm.create_model("convnext_atto"),
        "timm FocalNet": timm.create_model("focalnet_tiny_srf"),
        "timm EfficientNet": timm.create_model("efficientnet_b0"),
    }


def transformers_models():
    """Name of a case -> module."""
    import transformers as t

    swin = t.SwinConfig(**TRANSFORMERS, num_labels=5)
    backbone = t.SwinConfig(**TRANSFORMERS, out_features=["stage1", "stage2"])
    v2 = t.Swinv2Config(**TRANSFORMERS, num_labels=5)
    vit = {"image_size": 16, "patch_size": 4, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return {
        "transformers SwinModel": t.SwinModel(swin),
        "transformers SimMIM": t.SwinForMaskedImageModeling(swin),
        "transformers SwinBackbone": t.SwinBackbone(backbone),
        "transformers UperNet": t.UperNetForSemanticSegmentation(
            t.UperNetConfig(backbone_config=backbone, hidden_size=4, auxiliary_in_channels=16)
        ),
        "transformers UperNet of four stages": dense_peers.transformers_upernet(stages=4),
        "transformers Donut": t.DonutSwinModel(t.DonutSwinConfig(**TRANSFORMERS)),
        "transformers Swin V2": t.Swinv2ForImageClassification(v2),
        "transformers Swin2SR": t.Swin2SRModel(t.Swin2SRConfig(image_size=16, embed_dim=8, depths=[1], num_heads=[1])),
        "transformers ViT": t.ViTForImageClassification(t.ViTConfig(**vit)),
        "transformers DINOv2": t.Dinov2Model(t.Dinov2Config(**vit)),
        "transformers ResNet": t.ResNetModel(
            t.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
        ),
        "transformers BERT": t.BertModel(t.BertConfig(vocab_size=5, hidden_size=12, num_hidden_layers=1)),
    }


def torchvision_models():
    """Name of a case -> module."""
    from torchvision.models import resnet18, swin_transformer, vit_b_16
    from torchvision.models.video import swin_transformer as video

    small = {"embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2]}
    return {
        "torchvision Swin V2": swin_transformer.SwinTransformer(
            [2, 2],
            window_size=[2, 2],
            block=swin_transformer.SwinTransformerBlockV2,
            downsample_layer=swin_transformer.PatchMergingV2,
            **small,
        ),
        "torchvision Mask R-CNN, convolutional": dense_peers.torchvision_mask_rcnn(convs=4),
        "torchvision Video Swin": video.SwinTransformer3d([2, 4, 4], window_size=[2, 2, 2], **small),
        "torchvision ResNet": resnet18(),
        "torchvision ViT": vit_b_16(),
    }


def mmpretrain_models():
    """Name of a case -> module."""
    from mmpretrain.models.backbones import SwinTransformer, SwinTransformerV2

    arch = {"embed_dims": 8, "depths": [2, 1], "num_heads": [1, 2]}
    arch_v2 = {**arch, "extra_norm_every_n_blocks": 0}
    return {
        "mmpretrain backbone": SwinTransformer(arch, 16, 2, window_size=2, out_indices=(1,)),
        "mmdetection backbone": SwinTransformer(arch, 16, 2, window_size=2, out_indices=(0, 1)),
        "mmpretrain Swin V2": SwinTransformerV2(arch_v2, 16, 2, window_size=2, out_indices=(0,)),
    }


def mmdetection_models():
    """Name of a case -> module."""
    return {
        "mmdetection Cascade Mask R-CNN": dense_peers.mmdetection_rcnn(stages=3, convs=4),
        "mmdetection Cascade Mask R-CNN, linear": dense_peers.mmdetection_rcnn(stages=3, class_agnostic=True),
    }


def main():
    """Write the file; cases of libraries that are not installed stay as they are."""
    cases = json.loads(FILE.read_text()) if FILE.exists() else {}
    for make in (timm_models, transformers_models, torchvision_models, mmpretrain_models, mmdetection_models):
        try:
            models = make()
        except ImportError as error:
            print(f"{make.__name__}: {error}")
            continue
        for case, module in models.items():
            shapes = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
            words = ("Swin", "SimMIM", "UperNet", "Donut", "backbone", "features_only", "R-CNN")
            is_swin = any(word in case for word in words)
            cases[case] = shapes if is_swin else dict(list(shapes.items())[:FIRST_NAMES])
    lines = [
        f"{json.dumps(case)}: {json.dumps(shapes, separators=(',', ':'))}" for case, shapes in sorted(cases.items())
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
